//! Hostile bytes give an error, or a state that satisfies every invariant and is written as the same bytes.

use alrc_kernel::{Alrc, Config, Float, SNAPSHOT_LEN, SnapshotError};

/// Panics where the file's first line does not hold.
pub fn check(bytes: &[u8]) {
    check_type::<f32>(bytes);
    check_type::<f64>(bytes);
    // The same with the magic number, the version, the type and the checksum made to fit.
    let good = Alrc::new(Config::<f32>::default()).unwrap().to_bytes();
    let mut sealed = good;
    for (place, byte) in sealed[7..].iter_mut().zip(bytes) {
        *place = *byte;
    }
    let checksum = crc32fast::hash(&sealed[..SNAPSHOT_LEN - 4]);
    sealed[SNAPSHOT_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
    check_type::<f32>(&sealed);
    sealed[6] = f64::significand_bits();
    let checksum = crc32fast::hash(&sealed[..SNAPSHOT_LEN - 4]);
    sealed[SNAPSHOT_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
    check_type::<f64>(&sealed);
    assert_ne!(Alrc::<f64>::from_bytes(&sealed), Err(SnapshotError::Checksum));
}

fn check_type<F: Float>(bytes: &[u8]) {
    let Ok(mut alrc) = Alrc::<F>::from_bytes(bytes) else { return };
    assert_eq!(alrc.to_bytes(), bytes);
    for loss in [0.0, 1.0, 1e30, -1e30, f64::NAN] {
        let clipped = alrc.step(F::from_f64(loss));
        assert!(clipped.loss.is_finite() && clipped.scale.is_finite());
        assert!(alrc.limits().upper().is_finite() && alrc.std_dev() >= F::zero());
        assert!(Alrc::from_state(*alrc.config(), *alrc.state()).is_ok());
    }
}
