//! HTTP/1.1 as far as the AWS SDK and the Lambda runtime client need it: requests with a length or
//! in chunks, on connections that stay open.

use std::io::{self, BufRead, Read, Write};

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names are lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the next request; `None` once the client has closed the connection.
pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some(start) = line(reader)? else { return Ok(None) };
    let mut words = start.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other(format!("not a request: {start}")));
    };
    let mut request = Request { method, target, headers: Vec::new(), body: Vec::new() };
    while let Some(header) = line(reader)?.filter(|line| !line.is_empty()) {
        if let Some((name, value)) = header.split_once(':') {
            request.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    request.body = if request.header("transfer-encoding") == Some("chunked") {
        chunks(reader)?
    } else {
        let length = request.header("content-length").unwrap_or("0");
        let length = length.parse().map_err(io::Error::other)?;
        bytes(reader, length)?
    };
    Ok(Some(request))
}

/// Writes a response in one piece.
pub(crate) fn write(
    writer: &mut impl Write,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} \r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    writer.write_all(&[head.as_bytes(), body].concat())?;
    writer.flush()
}

/// A line without its end; `None` at the end of the stream.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let length = reader.read_line(&mut line)?;
    Ok((length > 0).then(|| line.trim_end().to_owned()))
}

fn bytes(reader: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(reader)?.unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        body.extend(bytes(reader, size)?);
        // The end of the chunk, or of the trailers that neither client sends.
        line(reader)?;
        if size == 0 {
            return Ok(body);
        }
    }
}
