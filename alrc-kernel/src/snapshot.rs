//! States as bytes, the same in any language and on any machine.
//!
//! | bytes | content, little-endian |
//! | --- | --- |
//! | 0 to 3 | `ALRC` in ASCII |
//! | 4, 5 | version of this table: 1 |
//! | 6 | digits of the type's significand: 24 in f32, 53 in f64 |
//! | 7 | flags: 1 `num_stddev_below` is given, 2 warm-up, 4 [`Scaling::Deviation`], 8 [`NonFinite::Reject`] |
//! | 8 to 87 | as f64: `num_stddev`, `num_stddev_below`, `decay1`, `decay2`, `epsilon`, `mu1` and `mu2` of the start, `mean`, `carry`, `variance`; 0 for what there is not |
//! | 88 to 95 | as u32: steps of the warm-up, and how many are left |
//! | 96 to 99 | CRC-32 (that of zip and PNG) of the bytes before |

use core::fmt;

use crate::{Alrc, Config, ConfigError, Float, NonFinite, Scaling, Start, State};

/// Length of a snapshot in bytes.
pub const SNAPSHOT_LEN: usize = 100;

const MAGIC: [u8; 4] = *b"ALRC";
const VERSION: u16 = 1;
const CHECKED_LEN: usize = SNAPSHOT_LEN - 4;

const HAS_BELOW: u8 = 1;
const WARM_UP: u8 = 2;
const DEVIATION: u8 = 4;
const REJECT: u8 = 8;

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SnapshotError {
    /// Not [`SNAPSHOT_LEN`] bytes, or they begin otherwise.
    NotASnapshot,
    /// The checksum differs: the bytes were damaged.
    Checksum,
    /// Of a version that this one does not know.
    Version(u16),
    /// Of a floating-point type with so many digits in its significand.
    Type(u8),
    /// No snapshot has such a field, though the checksum agrees.
    Malformed,
    /// A number is outside its range, though the checksum agrees.
    Value(ConfigError),
}

impl<F: Float> Alrc<F> {
    /// Configuration and state as bytes; [`from_bytes`](Self::from_bytes) gives them back to the bit. The module
    /// `snapshot` of the source describes the format.
    pub fn to_bytes(&self) -> [u8; SNAPSHOT_LEN] {
        let (config, state) = (self.config(), self.state());
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let ((mu1, mu2), steps) = match config.start {
            Start::Estimate { mu1, mu2 } => ((mu1, mu2), 0),
            Start::WarmUp { steps } => ((F::zero(), F::zero()), steps),
        };
        let mut bytes = [0; SNAPSHOT_LEN];
        let mut writer = Writer(&mut bytes);
        writer.put(MAGIC);
        writer.put(VERSION.to_le_bytes());
        writer.put([
            F::significand_bits(),
            flag(config.num_stddev_below.is_some(), HAS_BELOW)
                | flag(matches!(config.start, Start::WarmUp { .. }), WARM_UP)
                | flag(config.scaling == Scaling::Deviation, DEVIATION)
                | flag(config.non_finite == NonFinite::Reject, REJECT),
        ]);
        let below = config.num_stddev_below.unwrap_or_else(F::zero);
        let of_config = [config.num_stddev, below, config.decay1, config.decay2, config.epsilon, mu1, mu2];
        for number in of_config.into_iter().chain([state.mean, state.carry, state.variance]) {
            writer.put(number.to_f64().to_bits().to_le_bytes());
        }
        writer.put(steps.to_le_bytes());
        writer.put(state.warm_up_left.to_le_bytes());
        let checksum = checksum(&bytes);
        let mut writer = Writer(bytes.get_mut(CHECKED_LEN..).unwrap_or_default());
        writer.put(checksum.to_le_bytes());
        bytes
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote. Any other bytes give an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut reader = Reader(bytes);
        if bytes.len() != SNAPSHOT_LEN || reader.take()? != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        let version = u16::from_le_bytes(reader.take()?);
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let mut end = Reader(bytes.get(CHECKED_LEN..).unwrap_or_default());
        if u32::from_le_bytes(end.take()?) != checksum(bytes) {
            return Err(SnapshotError::Checksum);
        }
        let [significand_bits, flags] = reader.take()?;
        if significand_bits != F::significand_bits() {
            return Err(SnapshotError::Type(significand_bits));
        }
        let has = |flag| flags & flag != 0;
        let num_stddev = reader.number()?;
        let below = reader.number()?;
        let (decay1, decay2, epsilon) = (reader.number()?, reader.number()?, reader.number()?);
        let (mu1, mu2) = (reader.number()?, reader.number()?);
        let (mean, carry, variance) = (reader.number()?, reader.number()?, reader.number()?);
        let steps = u32::from_le_bytes(reader.take()?);
        let warm_up_left = u32::from_le_bytes(reader.take()?);
        let config = Config {
            num_stddev,
            num_stddev_below: if has(HAS_BELOW) { Some(below) } else { None },
            decay1,
            decay2,
            start: if has(WARM_UP) { Start::WarmUp { steps } } else { Start::Estimate { mu1, mu2 } },
            epsilon,
            scaling: if has(DEVIATION) { Scaling::Deviation } else { Scaling::Ratio },
            non_finite: if has(REJECT) { NonFinite::Reject } else { NonFinite::Skip },
        };
        let state = State { mean, carry, variance, warm_up_left };
        let alrc = Self::from_state(config, state).map_err(SnapshotError::Value)?;
        // Numbers that the type cannot hold, unknown flags and what the flags leave no place for.
        if alrc.to_bytes() == *bytes {
            Ok(alrc)
        } else {
            Err(SnapshotError::Malformed)
        }
    }
}

/// Fills bytes from the front.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        for byte in bytes {
            if let Some((first, rest)) = core::mem::take(&mut self.0).split_first_mut() {
                *first = byte;
                self.0 = rest;
            }
        }
    }
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let bytes = self.0.get(..N).and_then(|bytes| bytes.try_into().ok());
        self.0 = self.0.get(N..).unwrap_or_default();
        bytes.ok_or(SnapshotError::NotASnapshot)
    }

    fn number<F: Float>(&mut self) -> Result<F, SnapshotError> {
        Ok(F::from_f64(f64::from_bits(u64::from_le_bytes(self.take()?))))
    }
}

/// CRC-32 of the bytes before the checksum.
fn checksum(bytes: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for &byte in bytes.iter().take(CHECKED_LEN) {
        remainder ^= u32::from(byte);
        for _ in 0..8 {
            let polynomial = if remainder & 1 == 1 { 0xedb8_8320 } else { 0 };
            remainder = remainder >> 1 ^ polynomial;
        }
    }
    !remainder
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASnapshot => write!(f, "not a snapshot of {SNAPSHOT_LEN} bytes that begin with ALRC"),
            Self::Checksum => f.write_str("the snapshot is damaged: its checksum differs"),
            Self::Version(version) => write!(f, "the snapshot has version {version}, known: {VERSION}"),
            Self::Type(bits) => write!(f, "the snapshot is of a type with {bits} digits in its significand"),
            Self::Malformed => f.write_str("the snapshot holds what no state writes"),
            Self::Value(error) => write!(f, "the snapshot is of no state: {error}"),
        }
    }
}

#[cfg(feature = "std")]
impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Value(error) => Some(error),
            _ => None,
        }
    }
}
