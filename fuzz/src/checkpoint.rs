//! A checkpoint with some bytes changed gives an error; if its checksum is made to fit, an error or a state from which
//! training can go on.

use arbitrary::{Arbitrary, Unstructured};
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use alrc_cpu_train::checkpoint;
use alrc_cpu_train::config::Config;
use alrc_cpu_train::data::{Dataset, RECORD_SIZE};
use alrc_cpu_train::record::summary::Counters;
use alrc_cpu_train::train::Trainer;

fn trainer() -> Trainer {
    let config = Config { width: 2, batch_size: 1, ..Config::default() };
    Trainer::new(config, Dataset { records: vec![[7; RECORD_SIZE]] })
}

/// What restores them, one after the other: to make it takes longer than all else.
static TRAINER: LazyLock<Mutex<Trainer>> = LazyLock::new(|| Mutex::new(trainer()));

/// A good checkpoint.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("alrc-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut trainer = trainer();
    trainer.step();
    let path =
        checkpoint::Directory::new(directory.clone(), 1).write(&trainer, &Counters::default()).unwrap();
    let bytes = std::fs::read(path).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    bytes
});

/// Panics where the file's first line does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(input) = <(Vec<(u32, u8)>, Option<u16>)>::arbitrary_take_rest(Unstructured::new(bytes)) else {
        return;
    };
    let (changes, len) = input;
    let mut bytes = GOOD.clone();
    for (place, change) in changes {
        // Half of the changes go to the header, which is short.
        let end = if place % 2 == 0 { 4096.min(bytes.len()) } else { bytes.len() };
        bytes[(place / 2) as usize % end] ^= change;
    }
    bytes.truncate(len.map_or(usize::MAX, usize::from));
    let path = Path::new("checkpoint");
    let mut trainer = TRAINER.lock().unwrap();
    if bytes != *GOOD {
        assert!(checkpoint::restore_bytes(&bytes, path, &mut trainer).is_err());
    }
    checkpoint::seal(&mut bytes);
    if checkpoint::restore_bytes(&bytes, path, &mut trainer).is_ok() {
        assert!(trainer.is_finite());
        trainer.step();
    }
    checkpoint::restore_bytes(&GOOD, path, &mut trainer).unwrap();
}
