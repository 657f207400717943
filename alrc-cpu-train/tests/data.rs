//! `alrc-train data` as a user meets it: good servers and bad ones, hostile archives, damaged data sets.

#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alrc_cpu_train::data::cifar10;
use alrc_cpu_train::data::verify::{PUBLISHED, verify};
use assert_cmd::Command;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use program::{STORED, alrc_train, assert_fails, assert_refused, directory, run, write_data};
use serde_json::Value;
use server::{Server, head, send, serve, stall};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// A file of images whose bytes do not compress.
fn images(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count * STORED).map(|index| if index % STORED == 0 { byte() % 10 } else { byte() }).collect()
}

/// A `.tar.gz` with one entry for each of the arguments: kind, path as it is written to the archive, content.
fn archive(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (kind, path, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // Past the checks of the crate, as an attacker would.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name_literal("/etc/passwd").unwrap();
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Bytes compressed as one member of a gzip file.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut member = GzEncoder::new(Vec::new(), Compression::fast());
    member.write_all(bytes).unwrap();
    member.finish().unwrap()
}

const FILE: EntryType = EntryType::Regular;

fn good_archive() -> Vec<u8> {
    archive(&[
        (EntryType::Directory, "cifar-10-batches-bin/", b""),
        (FILE, "cifar-10-batches-bin/data_batch_1.bin", &images(60, 1)),
        (FILE, "cifar-10-batches-bin/data_batch_2.bin", &images(60, 2)),
        (FILE, "cifar-10-batches-bin/test_batch.bin", &images(20, 3)),
        (FILE, "cifar-10-batches-bin/batches.meta.txt", b"airplane\n"),
        (FILE, "cifar-10-batches-bin/install.sh", b"rm -rf /"),
    ])
}

/// `data fetch --out data` of an archive, from these addresses.
fn fetch(directory: &Path, archive: &[u8], urls: &[&str]) -> Command {
    let sha256: String = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
    let size = archive.len().to_string();
    let mut command = alrc_train(directory, &["data", "fetch", "--out", "data", "--timeout", "4"]);
    command.args(["--sha256", &sha256, "--size", &size]);
    for url in urls {
        command.args(["--url", url]);
    }
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

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

    // A second time there is nothing to do.
    fetch(directory.path(), &archive, &[&server.url]).assert().success();
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
        ("record 4 is incomplete", archive(&[(FILE, "c/data_batch_1.bin", &good[..good.len() - 1])])),
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

#[test]
fn verify_finds_every_damage() {
    let archive = Arc::new(good_archive());
    let bytes = Arc::clone(&archive);
    let server = Server::start(move |request, stream| serve(&bytes, usize::MAX, request, stream));
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("altered", |data| {
            let mut bytes = fs::read(data.join("data_batch_2.bin")).unwrap();
            bytes[STORED + 77] ^= 1;
            fs::write(data.join("data_batch_2.bin"), bytes).unwrap();
        }),
        ("incomplete", |data| {
            let file = fs::File::options().append(true).open(data.join("test_batch.bin")).unwrap();
            (&file).write_all(b"x").unwrap();
        }),
        ("test_batch.bin is missing", |data| fs::remove_file(data.join("test_batch.bin")).unwrap()),
        ("does not list", |data| {
            fs::copy(data.join("test_batch.bin"), data.join("data_batch_7.bin")).unwrap();
        }),
        ("no checksum", |data| fs::write(data.join("SHA256SUMS"), "garbage\n").unwrap()),
        ("data_batch_*.bin", |data| {
            for number in [1, 2] {
                fs::remove_file(data.join(format!("data_batch_{number}.bin"))).unwrap();
            }
        }),
    ];
    for (part, damage) in damages {
        let directory = directory();
        fetch(directory.path(), &archive, &[&server.url]).assert().success();
        damage(&directory.path().join("data"));
        assert_fails(alrc_train(directory.path(), &["data", "verify", "data"]), 2, &[part]);
    }
}

/// gzip's checksum, its length and what is behind them come after all that tar looks at.
#[test]
fn damaged_archives_are_refused() {
    let whole = good_archive();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    for bytes in [
        flipped(whole.len() / 2),
        flipped(whole.len() - 8),
        flipped(whole.len() - 4),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"more"].concat(),
        [&whole[..], &[0; 512]].concat(),
        [&whole[..], &gzip(b"more")].concat(),
    ] {
        let directory = directory();
        fs::write(directory.path().join("data.tar.gz"), bytes).unwrap();
        for command in [&["verify"][..], &["preview"]] {
            let command = alrc_train(directory.path(), &[&["data"], command, &["data.tar.gz"]].concat());
            assert_refused(command, directory.path(), &["cannot read data.tar.gz", "download it again"]);
        }
        let training = run(directory.path(), &["--data", "data.tar.gz", "--out", "out"]);
        assert_refused(training, directory.path(), &["cannot read data.tar.gz", "download it again"]);
    }
}

/// Whatever bit is wrong, it is found, or it is one of those that hold no image: a date, or what fills the last byte.
#[test]
fn no_flipped_bit_changes_images_in_silence() {
    let directory = directory();
    let path = directory.path().join("data.tar.gz");
    let mut bytes = archive(&[(FILE, "c/data_batch_1.bin", &images(1, 1))]);
    fs::write(&path, &bytes).unwrap();
    let (whole, verified) = (cifar10::read(&path).unwrap(), verify(&path).unwrap());
    for index in 0..bytes.len() {
        let bit = 1 << (index % 8);
        bytes[index] ^= bit;
        fs::write(&path, &bytes).unwrap();
        assert!(cifar10::read(&path).is_err() || cifar10::read(&path).unwrap() == whole, "byte {index}");
        assert!(verify(&path).is_err() || verify(&path).unwrap() == verified, "byte {index}");
        bytes[index] ^= bit;
    }
}

/// gzip and tar both join by concatenation: nothing of such a file is passed over.
#[test]
fn archives_of_several_parts_are_read_whole() {
    let first = archive(&[(FILE, "c/data_batch_1.bin", &images(3, 1))]);
    let second = archive(&[(FILE, "c/data_batch_2.bin", &images(5, 2))]);
    let mut tar = Vec::new();
    GzDecoder::new(&good_archive()[..]).read_to_end(&mut tar).unwrap();
    // A block for the folder, one for the head of the first file, and its content.
    let boundary = 2 * 512 + (60 * STORED).next_multiple_of(512);
    for (bytes, expected) in [
        ([first, second].concat(), vec![3, 5]),
        (tar.chunks(boundary).flat_map(gzip).collect(), vec![60, 60, 20]),
        (tar.chunks(1000).flat_map(gzip).collect(), vec![60, 60, 20]),
    ] {
        let directory = directory();
        let path = directory.path().join("data.tar.gz");
        fs::write(&path, bytes).unwrap();
        let counts: Vec<_> = verify(&path).unwrap().files.iter().map(|file| file.images).collect();
        assert_eq!(counts, expected);
    }
}

#[test]
fn an_archive_of_the_published_size_is_the_published_one() {
    let directory = directory();
    let mut file = fs::File::create(directory.path().join("data.tar.gz")).unwrap();
    file.write_all(&good_archive()).unwrap();
    file.set_len(PUBLISHED.size).unwrap();
    let verify = alrc_train(directory.path(), &["data", "verify", "data.tar.gz"]);
    assert_fails(verify, 2, &["data.tar.gz has been altered", "c4a38c50", "fetch it again"]);
}

/// Without a checksum only the form is known, and the answer says so.
#[test]
fn verify_says_what_it_does_not_know() {
    let directory = directory();
    write_data(directory.path(), "data", 3);
    fs::write(directory.path().join("data.tar.gz"), good_archive()).unwrap();
    for data in [&["data"][..], &["data.tar.gz"], &["data/data_batch_1.bin"], &["--data", "data"]] {
        let output = alrc_train(directory.path(), &[&["data", "verify"], data].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("no checksum to compare with"), "{text}");
    }
    assert_fails(alrc_train(directory.path(), &["data", "verify", "absent"]), 2, &["absent"]);
    let by_place: [(&[&str], &str); 2] = [(&["builtin"], "'DIR|FILE'"), (&["--data", "builtin"], "'--data'")];
    for (place, argument) in by_place {
        let verify = alrc_train(directory.path(), &[&["data", "verify"], place].concat());
        assert_fails(verify, 2, &[&format!("'builtin' for {argument}"), "nothing to verify"]);
    }
    let twice = alrc_train(directory.path(), &["data", "verify", "data", "--data", "data"]);
    assert_fails(twice, 2, &["--data", "cannot be used with"]);
}

#[test]
fn the_contact_sheet_shows_the_images() {
    let directory = directory();
    let bytes = images(10, 5);
    fs::create_dir(directory.path().join("data")).unwrap();
    fs::write(directory.path().join("data/data_batch_1.bin"), &bytes).unwrap();
    let arguments = ["data", "preview", "data", "--images", "5", "--out", "sheet.png", "--json"];
    let output = alrc_train(directory.path(), &arguments).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sheet = image::open(directory.path().join("sheet.png")).unwrap().to_rgb8();
    // Five images in three columns and two rows; a pixel of space around each; four pixels a pixel.
    assert_eq!(sheet.dimensions(), (4 * (3 * 33 + 1), 4 * (2 * 33 + 1)));
    assert_eq!((&document["width"], &document["height"]), (&sheet.width().into(), &sheet.height().into()));
    assert_eq!(document["images"], 10);
    for shown in 0..5_usize {
        let record = &bytes[2 * shown * STORED + 1..][..3072];
        let (left, top) = (1 + 33 * (shown % 3), 1 + 33 * (shown / 3));
        for (row, column) in [(0, 0), (31, 0), (0, 31), (17, 5)] {
            let expected = [0, 1, 2].map(|channel| record[1024 * channel + 32 * row + column]);
            let pixel = sheet.get_pixel(4 * (left + column) as u32 + 2, 4 * (top + row) as u32 + 2);
            assert_eq!(pixel.0, expected, "image {shown}, row {row}, column {column}");
        }
    }
    for (arguments, picture) in [
        (&["builtin"][..], "preview.png"),
        (&["--data", "builtin", "--out", "same.png"], "same.png"),
        (&["--data", "data/data_batch_1.bin", "--images", "5", "--out", "new/file.PNG"], "new/file.PNG"),
    ] {
        alrc_train(directory.path(), &[&["data", "preview"], arguments].concat()).assert().success();
        assert!(directory.path().join(picture).exists());
    }
    let read = |picture: &str| fs::read(directory.path().join(picture)).unwrap();
    assert!(read("preview.png") == read("same.png") && read("sheet.png") == read("new/file.PNG"));
    for picture in ["sheet.jpg", "sheet"] {
        let command = alrc_train(directory.path(), &["data", "preview", "data", "--out", picture]);
        assert_refused(command, directory.path(), &["--out", picture, ".png"]);
    }
    assert_fails(alrc_train(directory.path(), &["data", "preview", "absent"]), 2, &["absent"]);
}
