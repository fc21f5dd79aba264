//! A name server on port 53 of this machine. It knows one name and counts the queries (RFC 1035).

use std::{
    io,
    net::UdpSocket,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How the server treats queries.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Behaviour {
    /// It knows the name: its address is 127.0.0.1.
    Answers,
    /// It answers that the name does not exist.
    Denies,
    /// It receives the queries and never answers.
    IsSilent,
}

pub(crate) struct NameServer {
    behaviour: Arc<Mutex<Behaviour>>,
    queries: Arc<AtomicUsize>,
}

const HEADER: usize = 12;
const ADDRESS: u16 = 1;

impl NameServer {
    /// Serves until the process ends. Port 53 needs root, or a user namespace.
    pub(crate) fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 53))?;
        let behaviour = Arc::new(Mutex::new(Behaviour::Answers));
        let queries = Arc::new(AtomicUsize::new(0));
        let server = Self { behaviour: behaviour.clone(), queries: queries.clone() };
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                queries.fetch_add(1, Ordering::SeqCst);
                let behaviour = *behaviour.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = answer(&packet[..length], behaviour) {
                    // A client that no longer waits for it has sent the query again.
                    let _sent = socket.send_to(&answer, client);
                }
            }
        });
        Ok(server)
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// The number of queries since the last call.
    pub(crate) fn take_queries(&self) -> usize {
        self.queries.swap(0, Ordering::SeqCst)
    }
}

/// The response to a query; `None` if it gets none.
fn answer(query: &[u8], behaviour: Behaviour) -> Option<Vec<u8>> {
    let labels = query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let end = HEADER + labels + 1 + 4;
    let question = query.get(HEADER..end)?;
    let kind = u16::from_be_bytes([question[labels + 1], question[labels + 2]]);
    let (code, answers) = match behaviour {
        Behaviour::Answers => (0, u8::from(kind == ADDRESS)),
        Behaviour::Denies => (3, 0),
        Behaviour::IsSilent => return None,
    };
    let flags = [0x81, 0x80 | code];
    let counts = [0, 1, 0, answers, 0, 0, 0, 0];
    let mut response = [&query[..2], &flags, &counts, question].concat();
    if answers == 1 {
        // A pointer to the name in the question, type and class, no time to live, four bytes.
        response.extend([0xC0, 0x0C, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(response)
}
