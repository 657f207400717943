//! A download over HTTP or HTTPS into a file that may hold the beginning of it already.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, header};

use super::fetch::ANOTHER;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// Why a download is not complete. What has come stays in the file.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server, or the way to it.
    Remote(String),
    /// The file cannot be read or written.
    Local(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Local(error)
    }
}

/// Downloads by way of the proxies in HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.
pub(super) struct Client(Agent);

impl Client {
    /// A client that waits so long for the connection, for the answer, and for each piece of it.
    pub(super) fn new(timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            .timeout_per_write(Some(timeout))
            .user_agent(concat!("alrc-train/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(config.into())
    }

    /// Appends to `file` what it lacks of the `size` bytes at `url`; never more. Calls `progress` with the number of
    /// bytes that are there.
    pub(super) fn complete(
        &self,
        url: &str,
        file: &mut File,
        size: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let mut len = file.seek(SeekFrom::End(0))?;
        if len == size {
            return Ok(());
        }
        let mut request = self.0.get(url);
        if len > 0 {
            request = request.header(header::RANGE, format!("bytes={len}-"));
        }
        let response = request.call().map_err(|error| Failure::Remote(error.to_string()))?;
        let said = said_size(response.status(), response.headers(), len).map_err(Failure::Remote)?;
        if let Some(said) = said.filter(|said| *said != size) {
            return Err(Failure::Remote(format!("it offers {said} bytes, not {size}; {ANOTHER}")));
        }
        // A server that knows no ranges sends all of it.
        let mut known = if response.status() == StatusCode::OK { len } else { 0 };
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; BUFFER];
        loop {
            let read =
                body.read(&mut buffer).map_err(|error| Failure::Remote(interrupted(&error, len, size)))?;
            if read == 0 {
                break;
            }
            let skipped = known.min(read as u64);
            known -= skipped;
            let new = &buffer[skipped as usize..read];
            if new.len() as u64 > size - len {
                return Err(Failure::Remote(format!("it sends more than {size} bytes; {ANOTHER}")));
            }
            file.write_all(new)?;
            len += new.len() as u64;
            progress(len);
        }
        if len < size {
            return Err(Failure::Remote(interrupted(&"the connection was closed", len, size)));
        }
        Ok(())
    }
}

fn interrupted(problem: &dyn ToString, len: u64, size: u64) -> String {
    format!("{} after {len} of {size} bytes", problem.to_string())
}

/// The size of the whole as the answer to a request for what follows `len` bytes gives it, if it does.
fn said_size(status: StatusCode, headers: &HeaderMap, len: u64) -> Result<Option<u64>, String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match status {
        StatusCode::OK => Ok(text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok())),
        StatusCode::PARTIAL_CONTENT => {
            // bytes FIRST-LAST/SIZE, where SIZE may be *
            let range = text(header::CONTENT_RANGE).unwrap_or_default();
            let parts = range.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
            let (first, size) = parts.map_or(("", ""), |(range, size)| {
                (range.split_once('-').map_or("", |(first, _)| first), size)
            });
            if first.parse() != Ok(len) {
                return Err(format!("it sends the range '{range}' instead of the bytes from {len} on"));
            }
            Ok(size.parse().ok())
        }
        other => Err(format!("its answer is {other}")),
    }
}
