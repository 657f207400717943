//! A server on the loopback device that answers as a test wants it, well or badly.
#![allow(dead_code, reason = "every test uses a part of this")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request.
#[derive(Clone)]
pub(crate) struct Request {
    /// Its first line.
    pub(crate) line: String,
    /// First byte of the range that is asked for.
    pub(crate) from: Option<usize>,
}

/// A server that goes on until the test ends.
pub(crate) struct Server {
    /// `http://ADDRESS/data.tar.gz`
    pub(crate) url: String,
    /// The requests so far.
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers every connection's first request with `answer`, then closes it.
    pub(crate) fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/data.tar.gz", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    seen.lock().unwrap().push(request.clone());
                    answer(&request, &mut stream);
                });
            }
        });
        Self { url, requests }
    }

    /// First bytes that were asked for, one a request.
    pub(crate) fn ranges(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().iter().map(|request| request.from).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next()?;
    let mut from = None;
    for header in lines.take_while(|line| !line.is_empty()) {
        if let Some(range) = header.to_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    Some(Request { line, from })
}

/// Sends a head; a client that has gone is no failure of the server.
pub(crate) fn head(stream: &mut TcpStream, status: &str, headers: &[String]) {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    send(stream, format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").as_bytes());
}

pub(crate) fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// Answers as a good server does, but sends at most so many bytes before it closes the connection.
pub(crate) fn serve(bytes: &[u8], most: usize, request: &Request, stream: &mut TcpStream) {
    let from = request.from.unwrap_or(0);
    let rest = bytes.get(from..).unwrap_or_default();
    let length = format!("Content-Length: {}", rest.len());
    match request.from {
        None => head(stream, "200 OK", &[length]),
        Some(_) if rest.is_empty() => {
            head(stream, "416 Range Not Satisfiable", &["Content-Length: 0".into()]);
        }
        Some(_) => {
            let range = format!("Content-Range: bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            head(stream, "206 Partial Content", &[length, range]);
        }
    }
    send(stream, &rest[..rest.len().min(most)]);
}

/// Keeps the connection open and silent.
pub(crate) fn stall() {
    thread::sleep(Duration::from_secs(600));
}
