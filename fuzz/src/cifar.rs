//! Any file is read whole, byte for byte, or refused with an error that says where it is wrong.

use alrc_cpu_train::data::cifar10::{self, DataError};

const STORED: usize = 3073;

/// Panics where the file's first line does not hold.
pub fn check(bytes: &[u8]) {
    // Long enough for a few records, from a few bytes of input.
    let file: Vec<u8> = bytes.iter().copied().cycle().take(bytes.len() * 97).collect();
    let mut records = Vec::new();
    match cifar10::parse("file", &file, &mut records) {
        Ok(()) => {
            assert_eq!(records.len() * STORED, file.len());
            for (stored, record) in file.chunks(STORED).zip(&records) {
                assert!(stored[0] <= 9 && stored[1..] == record[..]);
            }
        }
        Err(DataError::Size { size, .. }) => assert!(size == file.len() && (size == 0 || size % STORED != 0)),
        Err(DataError::Label { record, label, .. }) => assert!(file[record * STORED] == label && label > 9),
        Err(other) => panic!("{other}"),
    }
}
