//! `alrc-train data verify` and `preview`, and `--data`, as a user meets them: damaged data sets, archives of any form.

#[path = "common/archives.rs"]
mod archives;
#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use alrc_cpu_train::data::cifar10;
use alrc_cpu_train::data::verify::{PUBLISHED, verify};
use archives::{FILE, archive, fetch, good_archive, gzip, images};
use flate2::read::GzDecoder;
use program::{STORED, alrc_train, assert_fails, assert_refused, directory, run, write_data};
use serde_json::Value;
use server::{Server, serve};

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
    for images in ["0", "-3", "10001", "many"] {
        let command = alrc_train(directory.path(), &["data", "preview", "builtin", "--images", images]);
        let parts = [&*format!("'{images}' for '--images"), "permitted: 1 to 10000"];
        assert_refused(command, directory.path(), &parts);
    }
    assert_fails(alrc_train(directory.path(), &["data", "preview", "absent"]), 2, &["absent"]);
}
