//! `alrc-train data fetch` as a user meets it: good servers and bad ones, hostile archives.

#[path = "common/archives.rs"]
mod archives;
#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use archives::{FILE, archive, fetch, good_archive, images};
use assert_cmd::Command;
use program::{STORED, alrc_train, assert_fails, assert_refused, directory, run, write_data};
use serde_json::Value;
use server::{Server, head, send, serve, stall};
use tar::EntryType;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Asserts that the images were fetched whole, and that nothing else is left.
#[track_caller]
fn assert_fetched(mut command: Command, directory: &Path) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(names(directory), ["data"]);
    let files = ["SHA256SUMS", "batches.meta.txt", "data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"];
    assert_eq!(names(&directory.join("data")), files);
    assert!(fs::read(directory.join("data/data_batch_2.bin")).unwrap() == images(60, 2));
}

/// Asserts that the download failed, with these words, and left no data set and nothing half unpacked.
#[track_caller]
fn assert_not_fetched(command: Command, directory: &Path, parts: &[&str]) {
    assert_fails(command, 1, parts);
    let left: Vec<_> = names(directory).into_iter().filter(|name| name != "data.partial").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn data_are_fetched_verified_and_trained_on() {
    let (directory, archive) = (directory(), Arc::new(good_archive()));
    let bytes = Arc::clone(&archive);
    let server = Server::start(move |request, stream| serve(&bytes, usize::MAX, request, stream));
    assert_fetched(fetch(directory.path(), &archive, &[&server.url]), directory.path());
    assert_eq!(server.ranges(), [None]);

    let output = alrc_train(directory.path(), &["data", "verify", "data", "--json"]).output().unwrap();
    let verified: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verified["evidence"], "recorded");
    let images: Vec<_> = verified["files"].as_array().unwrap().iter().map(|file| &file["images"]).collect();
    assert_eq!(images, [60, 60, 20]);
    run(directory.path(), &["--data", "data", "--out", "out"]).assert().success();

    // A second time there is nothing to do; what is there is told all the same.
    let mut again = fetch(directory.path(), &archive, &[&server.url]);
    let output = again.arg("--json").output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && told == verified, "{told}");
    assert_eq!(server.ranges().len(), 1);
}

#[test]
fn the_sums_are_those_of_sha256sum() {
    let (directory, archive) = (directory(), Arc::new(good_archive()));
    let bytes = Arc::clone(&archive);
    let server = Server::start(move |request, stream| serve(&bytes, usize::MAX, request, stream));
    fetch(directory.path(), &archive, &[&server.url]).assert().success();
    let check = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(directory.path().join("data"))
        .status();
    match check {
        Ok(status) => assert!(status.success()),
        Err(error) => println!("not run: sha256sum: {error}"),
    }
}

/// Every connection breaks after a part; the next one goes on there.
#[test]
fn interrupted_downloads_go_on() {
    let (directory, archive) = (directory(), Arc::new(good_archive()));
    let part = archive.len() / 3 + 1;
    let bytes = Arc::clone(&archive);
    let server = Server::start(move |request, stream| serve(&bytes, part, request, stream));
    assert_fetched(fetch(directory.path(), &archive, &[&server.url]), directory.path());
    assert_eq!(server.ranges(), [None, Some(part), Some(2 * part)]);
}

/// What a killed process has left is used by the next.
#[test]
fn a_partial_file_is_completed() {
    let (directory, archive) = (directory(), Arc::new(good_archive()));
    fs::write(directory.path().join("data.partial"), &archive[..1000]).unwrap();
    fs::create_dir(directory.path().join("data.unpacking")).unwrap();
    fs::write(directory.path().join("data.unpacking/data_batch_9.bin"), "half").unwrap();
    let bytes = Arc::clone(&archive);
    let server = Server::start(move |request, stream| serve(&bytes, usize::MAX, request, stream));
    assert_fetched(fetch(directory.path(), &archive, &[&server.url]), directory.path());
    assert_eq!(server.ranges(), [Some(1000)]);
}

/// A partial file of something else, of any length, costs one download more.
#[test]
fn a_wrong_partial_file_is_dropped() {
    let archive = Arc::new(good_archive());
    for len in [1000, archive.len(), archive.len() + 1] {
        let directory = directory();
        fs::write(directory.path().join("data.partial"), vec![7; len]).unwrap();
        let bytes = Arc::clone(&archive);
        let server = Server::start(move |request, stream| serve(&bytes, usize::MAX, request, stream));
        assert_fetched(fetch(directory.path(), &archive, &[&server.url]), directory.path());
        assert_eq!(server.ranges().last(), Some(&None));
    }
}

/// A server that always sends everything breaks in the middle, once: what came before is not lost.
#[test]
fn servers_without_ranges_serve() {
    let (directory, archive) = (directory(), Arc::new(good_archive()));
    let (bytes, count) = (Arc::clone(&archive), AtomicUsize::new(0));
    let server = Server::start(move |_, stream| {
        head(stream, "200 OK", &[format!("Content-Length: {}", bytes.len())]);
        let most = if count.fetch_add(1, Ordering::SeqCst) == 0 { bytes.len() / 2 } else { bytes.len() };
        send(stream, &bytes[..most]);
    });
    assert_fetched(fetch(directory.path(), &archive, &[&server.url]), directory.path());
    assert_eq!(server.ranges(), [None, Some(archive.len() / 2)]);
}

/// Each of these mirrors fails, in its own way; the one after it delivers, and the message of a fetch from the bad one
/// alone says what was wrong.
#[test]
fn bad_mirrors_are_passed_over() {
    let archive = Arc::new(good_archive());
    let (len, bytes) = (archive.len(), Arc::clone(&archive));
    type Answer = Box<dyn Fn(&server::Request, &mut std::net::TcpStream) + Send + Sync>;
    let of = |bytes: &Arc<Vec<u8>>| Arc::clone(bytes);
    let (padded, endless, altered) = (of(&bytes), of(&bytes), of(&bytes));
    let cases: [(&str, Answer); 12] = [
        ("404", Box::new(|_, stream| head(stream, "404 Not Found", &["Content-Length: 0".into()]))),
        ("503", Box::new(|_, stream| head(stream, "503 Service Unavailable", &[]))),
        ("", Box::new(|_, _| {})),
        ("", Box::new(|_, stream| send(stream, b"SSH-2.0-OpenSSH_9.2\r\n"))),
        // Silent from the first byte on, and after its promise.
        ("timeout", Box::new(|_, _| stall())),
        (
            "timeout",
            Box::new(move |_, stream| {
                head(stream, "200 OK", &[format!("Content-Length: {len}")]);
                stall();
            }),
        ),
        // Lies about its length: another one, one that the content does not have, and none at all.
        (
            "offers 5 bytes",
            Box::new(|_, stream| {
                head(stream, "200 OK", &["Content-Length: 5".into()]);
                send(stream, b"hello");
            }),
        ),
        (
            "SHA-256",
            Box::new(move |_, stream| {
                head(stream, "200 OK", &[format!("Content-Length: {len}")]);
                // The client takes no more than the length that was given.
                send(stream, &[&padded[1..], &[0; 5000]].concat());
            }),
        ),
        (
            "more than",
            Box::new(move |_, stream| {
                head(stream, "200 OK", &[]);
                send(stream, &[&endless[..], &[0; 500_000]].concat());
            }),
        ),
        // Wrong bytes of the right length.
        (
            "SHA-256",
            Box::new(move |request, stream| {
                let mut wrong = altered.to_vec();
                wrong[len / 2] ^= 1;
                serve(&wrong, usize::MAX, request, stream);
            }),
        ),
        // Redirects without end.
        (
            "redirect",
            Box::new(|_, stream| {
                head(stream, "302 Found", &["Location: /elsewhere".into(), "Content-Length: 0".into()]);
            }),
        ),
        (
            "the range",
            Box::new(|_, stream| head(stream, "206 Partial Content", &["Content-Length: 0".into()])),
        ),
    ];
    for (index, (part, answer)) in cases.into_iter().enumerate() {
        let (directory, bytes) = (directory(), Arc::clone(&archive));
        let bad = Server::start(answer);
        assert_not_fetched(
            fetch(directory.path(), &archive, &[&bad.url]),
            directory.path(),
            &["cannot download", &bad.url, part],
        );
        let is_another = ["SHA-256", "offers 5 bytes", "more than"].contains(&part);
        if is_another {
            let command = fetch(directory.path(), &archive, &[&bad.url]);
            assert_fails(command, 1, &["if another archive is meant, give its --size and --sha256"]);
        }
        if let Ok(partial) = fs::metadata(directory.path().join("data.partial")) {
            assert!((1..=len as u64).contains(&partial.len()), "case {index}: {} bytes", partial.len());
        }
        let good = Server::start(move |request, stream| serve(&bytes, usize::MAX, request, stream));
        assert_fetched(fetch(directory.path(), &archive, &[&bad.url, &good.url]), directory.path());
    }
}

/// A server that falls silent in the middle has still brought half of it.
#[test]
fn a_stalled_download_is_kept() {
    let (directory, archive) = (directory(), Arc::new(good_archive()));
    let (bytes, half) = (Arc::clone(&archive), archive.len() / 2);
    let silent = Server::start(move |request, stream| {
        if request.from.is_none() {
            serve(&bytes, half, request, stream);
        }
        stall();
    });
    assert_not_fetched(
        fetch(directory.path(), &archive, &[&silent.url]),
        directory.path(),
        &["timeout", &format!("continues from {half} bytes")],
    );
    let bytes = Arc::clone(&archive);
    let good = Server::start(move |request, stream| serve(&bytes, usize::MAX, request, stream));
    assert_fetched(fetch(directory.path(), &archive, &[&good.url]), directory.path());
    assert_eq!(good.ranges(), [Some(half)]);
}

#[test]
fn absent_servers_are_named() {
    let directory = directory();
    let archive = good_archive();
    // Port 1 is closed; the name is reserved for what does not exist.
    for (url, part) in [
        ("http://127.0.0.1:1/data.tar.gz", "127.0.0.1:1"),
        ("http://nowhere.invalid/data.tar.gz", "nowhere.invalid"),
    ] {
        let output = fetch(directory.path(), &archive, &[url]).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("error: cannot download") && message.contains(part), "{message}");
        // Once, and nothing is there to continue from.
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(!message.contains("continues"), "{message}");
    }
}

#[test]
fn addresses_that_cannot_be_used_are_refused() {
    let directory = directory();
    for url in
        ["nonsense", "no address", "ftp://127.0.0.1/data.tar.gz", "file:///data.tar.gz", "http://", "/data"]
    {
        let command = alrc_train(directory.path(), &["data", "fetch", "--url", url]);
        assert_refused(command, directory.path(), &[&format!("'{url}' for '--url"), "http:// or https://"]);
    }
}

/// Why a mirror was passed over is told at once; of the last, as the error.
#[test]
fn each_mirror_is_complained_of_once() {
    let directory = directory();
    let urls = ["http://127.0.0.1:1/first", "http://127.0.0.1:1/second"];
    let output = fetch(directory.path(), &good_archive(), &urls).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = message.lines().collect();
    assert!(lines[0].contains("WARN") && lines[0].contains("/first"), "{message}");
    assert!(lines[1].starts_with("error:") && lines[1].contains("/second"), "{message}");
    assert_eq!(lines.len(), 2, "{message}");
}

#[test]
fn proxies_are_used() {
    let (directory, archive) = (directory(), Arc::new(good_archive()));
    let bytes = Arc::clone(&archive);
    // Grants a tunnel, then is the server at its end.
    let proxy = Server::start(move |request, stream| {
        if request.line.starts_with("CONNECT") {
            head(stream, "200 OK", &[]);
            let mut inner = std::io::BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while std::io::BufRead::read_line(&mut inner, &mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
        }
        serve(&bytes, usize::MAX, request, stream);
    });
    let address = proxy.url.trim_end_matches("/data.tar.gz");
    let mut command = fetch(directory.path(), &archive, &["http://images.invalid/data.tar.gz"]);
    command.env("HTTP_PROXY", address).env("ALL_PROXY", address);
    assert_fetched(command, directory.path());
    assert!(proxy.requests.lock().unwrap()[0].line.contains("images.invalid"));
}

/// Nothing of a hostile archive is unpacked, inside or outside of the directory.
#[test]
fn hostile_archives_are_refused() {
    let good = images(5, 1);
    let batch = (FILE, "c/data_batch_1.bin", &good[..]);
    let cases: [(&str, Vec<u8>); 13] = [
        ("../data_batch_2.bin", archive(&[batch, (FILE, "../data_batch_2.bin", &good)])),
        ("c/../../data_batch_2.bin", archive(&[batch, (FILE, "c/../../data_batch_2.bin", &good)])),
        ("/tmp/data_batch_2.bin", archive(&[batch, (FILE, "/tmp/data_batch_2.bin", &good)])),
        ("neither a file", archive(&[batch, (EntryType::Symlink, "c/data_batch_2.bin", b"")])),
        ("neither a file", archive(&[batch, (EntryType::Link, "c/data_batch_2.bin", b"")])),
        ("neither a file", archive(&[batch, (EntryType::Fifo, "c/data_batch_2.bin", b"")])),
        ("exists", archive(&[batch, (FILE, "d/data_batch_1.bin", &good)])),
        ("the last record is incomplete", archive(&[(FILE, "c/data_batch_1.bin", &good[..good.len() - 1])])),
        ("label 255", archive(&[(FILE, "c/data_batch_1.bin", &[255; STORED])])),
        ("data_batch_*.bin", archive(&[(FILE, "c/readme.html", b"<p>")])),
        ("the archive is damaged", {
            let whole = archive(&[batch]);
            whole[..whole.len() - 20].to_vec()
        }),
        // All that tar looks at is there.
        ("the archive is damaged", {
            let whole = archive(&[batch]);
            whole[..whole.len() - 4].to_vec()
        }),
        ("the archive is damaged", [&archive(&[batch]), &b"more"[..]].concat()),
    ];
    for (part, hostile) in cases {
        let outer = directory();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let bytes = hostile.clone();
        let server = Server::start(move |request, stream| serve(&bytes, usize::MAX, request, stream));
        assert_not_fetched(fetch(&inner, &hostile, &[&server.url]), &inner, &[part]);
        assert_eq!(names(outer.path()), ["inner"]);
    }
}

#[test]
fn other_directories_are_left_alone() {
    let directory = directory();
    let archive = good_archive();
    write_data(directory.path(), "data", 3);
    assert_refused(
        fetch(directory.path(), &archive, &["http://127.0.0.1:1/"]),
        directory.path(),
        &["--out", "data", "remove it"],
    );
    assert_eq!(names(&directory.path().join("data")), ["data_batch_1.bin"]);
}

#[test]
fn one_process_at_a_time_downloads() {
    let directory = directory();
    let file = fs::File::create(directory.path().join("data.partial")).unwrap();
    file.lock().unwrap();
    let command = fetch(directory.path(), &good_archive(), &["http://127.0.0.1:1/"]);
    assert_fails(command, 1, &["another process", "data.partial"]);
}

#[test]
fn options_are_checked() {
    let directory = directory();
    let sum = "0".repeat(64);
    let cases: [(&[&str], &str); 5] = [
        (&["--sha256", "12"], "64 hexadecimal digits"),
        (&["--sha256", &"x".repeat(64)], "64 hexadecimal digits"),
        (&["--sha256", &sum], "--size"),
        (&["--size", "5"], "--sha256"),
        (&["--timeout", "0"], "--timeout"),
    ];
    for (arguments, part) in cases {
        let command = alrc_train(directory.path(), &[&["data", "fetch"], arguments].concat());
        assert_refused(command, directory.path(), &[part]);
    }
}
