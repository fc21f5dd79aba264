//! A server on this machine with a thread for each connection. It stops listening when it is
//! dropped.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

pub(crate) struct Server {
    addresses: Vec<SocketAddr>,
    is_stopped: Arc<AtomicBool>,
}

impl Server {
    /// Calls `serve` for each connection to one of these listeners.
    pub(crate) fn start(
        listeners: impl IntoIterator<Item = TcpListener>,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let (serve, is_stopped) = (Arc::new(serve), Arc::new(AtomicBool::new(false)));
        let mut addresses = Vec::new();
        for listener in listeners {
            addresses.extend(listener.local_addr());
            let (serve, is_stopped) = (serve.clone(), is_stopped.clone());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if is_stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let serve = serve.clone();
                    thread::spawn(move || serve(stream));
                }
            });
        }
        Self { addresses, is_stopped }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        for address in &self.addresses {
            // Wakes the thread that waits for a connection.
            drop(TcpStream::connect(address));
        }
    }
}
