//! The least that a custom runtime does: it asks for an event and answers it, over one connection
//! and without any library.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

const API: &str = "/2018-06-01/runtime/invocation";

fn main() -> io::Result<()> {
    let address = env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?;
    let mut stream = BufReader::new(TcpStream::connect(&address)?);
    stream.get_ref().set_nodelay(true)?;
    loop {
        let id = call(&mut stream, &format!("GET {API}/next HTTP/1.1\r\nhost: {address}\r\n\r\n"))?;
        let answer = format!(
            "POST {API}/{id}/response HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        call(&mut stream, &answer)?;
    }
}

/// Sends a request, reads the response and returns the id of the invocation in its headers.
fn call(stream: &mut BufReader<TcpStream>, request: &str) -> io::Result<String> {
    stream.get_mut().write_all(request.as_bytes())?;
    let (mut id, mut length, mut line) = (String::new(), 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "lambda-runtime-aws-request-id" => id = value.trim().to_owned(),
            _ => {}
        }
    }
    stream.read_exact(&mut vec![0; length])?;
    Ok(id)
}
