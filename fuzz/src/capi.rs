//! Any sequence of calls of the C interface, with bad lengths, bytes, structs and buffers, does what the kernel does, or
//! gives an error and leaves everything as it was.

use std::ptr::null_mut;

use alrc::*;
use alrc_kernel::{Alrc, BatchSums, Config, Limits, NonFinite, SNAPSHOT_LEN, Scaling, Start, State};
use arbitrary::{Arbitrary, Unstructured};

#[derive(Arbitrary, Debug)]
struct Input {
    is_double: bool,
    config: Option<([f64; 7], [u8; 3])>,
    calls: Vec<Call>,
}

#[derive(Arbitrary, Debug)]
enum Call {
    Step { loss: f64, wants: Wants },
    Batch { losses: Vec<f64>, wants: Wants },
    InPlace { losses: Vec<f64>, wants: Wants },
    Overlap { losses: Vec<f64>, distance: u8, which: u8 },
    Length(usize),
    Parts { losses: Vec<f64>, split: u8 },
    Sums { counts: [u64; 3], numbers: [f64; 3] },
    Limits { numbers: [f64; 3], choices: [u8; 2], losses: Vec<f64> },
    Save { len: u8 },
    Load { bytes: Vec<u8>, is_sealed: bool },
    Damage { field: u8, change: u64 },
}

/// Which results a call is to write; the others are null.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Wants {
    clipped: bool,
    scales: bool,
    report: bool,
}

/// Panics where the file's first lines do not hold.
pub fn check(bytes: &[u8]) {
    let Ok(input) = <Input>::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    if input.is_double { double::check(&input) } else { single::check(&input) }
}

/// The number of an enumeration, sometimes one that it has not.
fn choice(byte: u8) -> u32 {
    u32::from(byte) % 3
}

fn scaling(number: u32) -> Option<Scaling> {
    [Scaling::Ratio, Scaling::Deviation].get(number as usize).copied()
}

fn non_finite(number: u32) -> Option<NonFinite> {
    [NonFinite::Skip, NonFinite::Reject].get(number as usize).copied()
}

/// A snapshot of the type with these bytes in it and a checksum that agrees.
fn sealed(bytes: &[u8], mut snapshot: [u8; SNAPSHOT_LEN]) -> Vec<u8> {
    for (place, byte) in snapshot[7..].iter_mut().zip(bytes) {
        *place = *byte;
    }
    let checksum = crc32fast::hash(&snapshot[..SNAPSHOT_LEN - 4]);
    snapshot[SNAPSHOT_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
    snapshot.to_vec()
}

macro_rules! check_type {
    ($module:ident $float:ident $bits:ident: $state:ident $config:ident $limits:ident $sums:ident $report:ident, $config_default:ident
     $init:ident $step:ident $step_batch:ident $get_limits:ident $clip:ident $sums_merge:ident $update:ident
     $moments:ident $save:ident $load:ident) => {
        mod $module {
            use super::*;

            /// A state in C and, if it is one that can be, the same in Rust.
            struct Pair {
                c: $state,
                rust: Option<Alrc<$float>>,
                /// Of a state that can be.
                tag: u32,
            }

            pub(super) fn check(input: &Input) {
                let Some(mut pair) = start(input) else { return };
                for call in &input.calls {
                    pair.call(call);
                    pair.compare();
                }
            }

            fn start(input: &Input) -> Option<Pair> {
                // SAFETY: a struct of numbers.
                let (mut config, mut c) = unsafe { std::mem::zeroed::<($config, $state)>() };
                // SAFETY: valid.
                assert_eq!(unsafe { $config_default(&mut config) }, ALRC_OK);
                if let Some((numbers, choices)) = input.config {
                    let [num_stddev, num_stddev_below, decay1, decay2, mu1_start, mu2_start, epsilon] =
                        numbers.map(|number| number as $float);
                    let [warm_up_steps, scaling, non_finite] = choices;
                    config = $config {
                        num_stddev,
                        num_stddev_below,
                        decay1,
                        decay2,
                        mu1_start,
                        mu2_start,
                        epsilon,
                        warm_up_steps: warm_up_steps.into(),
                        scaling: choice(scaling),
                        non_finite: choice(non_finite),
                    };
                }
                let rust = config_of(&config).and_then(|config| Alrc::new(config).ok());
                // SAFETY: valid.
                let status = unsafe { $init(&mut c, &config) };
                assert_eq!(status == ALRC_OK, rust.is_some());
                rust.map(|rust| Pair { c, rust: Some(rust), tag: c.tag })
            }

            fn config_of(config: &$config) -> Option<Config<$float>> {
                Some(Config {
                    num_stddev: config.num_stddev,
                    num_stddev_below: Some(config.num_stddev_below)
                        .filter(|&number| number != $float::INFINITY),
                    decay1: config.decay1,
                    decay2: config.decay2,
                    start: if config.warm_up_steps > 0 {
                        Start::WarmUp { steps: config.warm_up_steps }
                    } else {
                        Start::Estimate { mu1: config.mu1_start, mu2: config.mu2_start }
                    },
                    epsilon: config.epsilon,
                    scaling: scaling(config.scaling)?,
                    non_finite: non_finite(config.non_finite)?,
                })
            }

            fn numbers(losses: &[f64]) -> Vec<$float> {
                losses.iter().map(|&loss| loss as $float).collect()
            }

            fn bits(numbers: &[$float]) -> Vec<u64> {
                numbers.iter().map(|number| u64::from(number.to_bits())).collect()
            }

            fn sums_of(sums: &$sums) -> BatchSums<$float> {
                let $sums { count, clipped, non_finite, mean, squares, largest_excess } = *sums;
                BatchSums { count, clipped, non_finite, mean, squares, largest_excess }
            }

            impl Pair {
                fn call(&mut self, call: &Call) {
                    match call {
                        Call::Step { loss, wants } => self.step(*loss as $float, *wants),
                        Call::Batch { losses, wants } => self.batch(&numbers(losses), *wants, false),
                        Call::InPlace { losses, wants } => self.batch(&numbers(losses), *wants, true),
                        Call::Overlap { losses, distance, which } => {
                            self.overlap(numbers(losses), (*distance).into(), which % 3);
                        }
                        Call::Length(len) => self.length(*len),
                        Call::Parts { losses, split } => self.parts(&numbers(losses), (*split).into()),
                        Call::Sums { counts, numbers } => {
                            self.sums(*counts, numbers.map(|number| number as $float))
                        }
                        Call::Limits { numbers, choices, losses } => {
                            let losses: Vec<$float> = losses.iter().map(|&loss| loss as $float).collect();
                            limits(numbers.map(|number| number as $float), choices.map(choice), &losses);
                        }
                        Call::Save { len } => self.save((*len).into()),
                        Call::Load { bytes, is_sealed } => self.load(bytes, *is_sealed),
                        Call::Damage { field, change } => self.damage((*field).into(), *change),
                    }
                }

                /// The bits of every field.
                fn fields(&mut self) -> (Vec<u64>, [u32; 5]) {
                    let (numbers, integers) = numbers_and_integers(&mut self.c);
                    (bits(&numbers.map(|number| *number)), integers.map(|integer| *integer))
                }

                /// The state in C is that in Rust, by every way to look at it.
                fn compare(&self) {
                    let (mut bytes, [mut mu1, mut mu2]) = ([0; ALRC_SNAPSHOT_LEN], [0.0; 2]);
                    // SAFETY: valid.
                    let (saved, read) = unsafe {
                        (
                            $save(&self.c, bytes.as_mut_ptr(), bytes.len()),
                            $moments(&self.c, &mut mu1, &mut mu2),
                        )
                    };
                    assert_eq!(saved, read);
                    if let Some(rust) = self.expect(saved) {
                        assert_eq!(bytes, rust.to_bytes());
                        assert_eq!(bits(&[mu1, mu2]), bits(&[rust.mu1(), rust.mu2()]));
                    }
                }

                /// A call succeeded if the state is sound, and said so if it is not.
                fn expect(&self, status: alrc_status) -> Option<Alrc<$float>> {
                    assert_eq!(status, if self.rust.is_some() { ALRC_OK } else { ALRC_ERROR_STATE });
                    self.rust
                }

                fn step(&mut self, loss: $float, wants: Wants) {
                    let [mut clipped, mut scale] = [7.0; 2];
                    let (to_clipped, to_scale): (*mut $float, *mut $float) = (&mut clipped, &mut scale);
                    let (to_clipped, to_scale) = (
                        if wants.clipped { to_clipped } else { null_mut() },
                        if wants.scales { to_scale } else { null_mut() },
                    );
                    // SAFETY: null or valid.
                    let status = unsafe { $step(&mut self.c, loss, to_clipped, to_scale) };
                    let mut expected = [7.0; 2];
                    if let Some(mut rust) = self.expect(status) {
                        let result = rust.step(loss);
                        self.rust = Some(rust);
                        expected = [
                            if wants.clipped { result.loss } else { 7.0 },
                            if wants.scales { result.scale } else { 7.0 },
                        ];
                    }
                    assert_eq!(bits(&[clipped, scale]), bits(&expected));
                }

                fn batch(&mut self, losses: &[$float], wants: Wants, is_in_place: bool) {
                    let len = losses.len();
                    let mut buffer = losses.to_vec();
                    let [mut clipped, mut scales] = [vec![7.0; len], vec![7.0; len]];
                    // SAFETY: a struct of numbers.
                    let mut report: $report = unsafe { std::mem::zeroed() };
                    let to_report = if wants.report { &raw mut report } else { null_mut() };
                    let to_scales = if wants.scales { scales.as_mut_ptr() } else { null_mut() };
                    let from = buffer.as_mut_ptr();
                    let to_clipped = match (is_in_place, wants.clipped) {
                        (true, _) => from,
                        (false, true) => clipped.as_mut_ptr(),
                        (false, false) => null_mut(),
                    };
                    // SAFETY: null or valid for `len`.
                    let status =
                        unsafe { $step_batch(&mut self.c, from, to_clipped, to_scales, len, to_report) };
                    let [mut in_rust, mut scales_in_rust] = [losses.to_vec(), vec![7.0; len]];
                    let Some(mut rust) = self.expect(status) else {
                        assert_eq!(bits(&buffer), bits(losses));
                        assert!(clipped.iter().chain(&scales).all(|&untouched| untouched == 7.0));
                        return;
                    };
                    let wanted = if wants.scales { &mut scales_in_rust[..] } else { &mut [] };
                    let expected = rust.step_batch(losses, &mut in_rust, wanted);
                    self.rust = Some(rust);
                    if is_in_place {
                        assert_eq!(bits(&buffer), bits(&in_rust));
                    } else {
                        assert_eq!(bits(&buffer), bits(losses));
                        assert_eq!(bits(&clipped), bits(if wants.clipped { &in_rust } else { &clipped }));
                    }
                    assert_eq!(bits(&scales), bits(&scales_in_rust));
                    if wants.report {
                        assert_eq!(
                            (report.clipped, report.non_finite, report.updated != 0),
                            (expected.clipped, expected.non_finite, expected.updated)
                        );
                        assert_eq!(
                            bits(&[report.largest_excess, report.limit]),
                            bits(&[expected.largest_excess, expected.limit])
                        );
                    }
                }

                fn overlap(&mut self, losses: Vec<$float>, distance: usize, which: u8) {
                    let len = losses.len();
                    if len == 0 {
                        return;
                    }
                    let distance = distance % len;
                    let mut buffer = [&losses[..], &losses[..]].concat();
                    let before = (self.fields(), bits(&buffer));
                    let mut apart = losses;
                    let first = buffer.as_mut_ptr();
                    let (second, third) = (first.wrapping_add(distance), apart.as_mut_ptr());
                    let (losses, clipped, scales) = match which {
                        // In place is permitted.
                        0 if distance == 0 => return,
                        0 => (first, second, third),
                        1 => (first, third, second),
                        _ => (third, first, second),
                    };
                    // SAFETY: valid for `len`.
                    let status =
                        unsafe { $step_batch(&mut self.c, losses, clipped, scales, len, null_mut()) };
                    assert_eq!(status, ALRC_ERROR_OVERLAP);
                    assert_eq!((self.fields(), bits(&buffer)), before);
                }

                /// Lengths that no buffer can have.
                fn length(&mut self, len: usize) {
                    let len = len.max(isize::MAX as usize / size_of::<$float>() + 1);
                    let (before, loss) = (self.fields(), Box::new(1.0));
                    // SAFETY: refused, nothing is read or written.
                    let status =
                        unsafe { $step_batch(&mut self.c, &*loss, null_mut(), null_mut(), len, null_mut()) };
                    assert_eq!(status, ALRC_ERROR_LENGTH);
                    assert_eq!(self.fields(), before);
                }

                fn parts(&mut self, losses: &[$float], split: usize) {
                    let (left, right) = losses.split_at(split % (losses.len() + 1));
                    // SAFETY: a struct of numbers.
                    let (mut limits, [mut sums, mut rest]): ($limits, [$sums; 2]) =
                        unsafe { std::mem::zeroed() };
                    // SAFETY: valid.
                    let status = unsafe { $get_limits(&self.c, &mut limits) };
                    let Some(mut rust) = self.expect(status) else { return };
                    let (none, mut scales) = (null_mut(), vec![7.0; right.len()]);
                    // SAFETY: null or valid for the lengths.
                    unsafe {
                        let status = $clip(&limits, left.as_ptr(), none, none, left.len(), &mut sums);
                        assert_eq!(status, ALRC_OK);
                        let (to_scales, len) = (scales.as_mut_ptr(), right.len());
                        assert_eq!($clip(&limits, right.as_ptr(), none, to_scales, len, &mut rest), ALRC_OK);
                        assert_eq!($sums_merge(&mut sums, &rest), ALRC_OK);
                        assert_eq!($update(&mut self.c, &sums), ALRC_OK);
                    }
                    let (limits, mut expected) = (rust.limits(), scales.clone());
                    let mut merged = limits.clip_batch(left, &mut [], &mut []);
                    merged.merge(&limits.clip_batch(right, &mut [], &mut expected));
                    rust.update(&merged);
                    assert_eq!(bits(&scales), bits(&expected));
                    assert_eq!(sums_of(&sums), merged);
                    self.rust = Some(rust);
                }

                /// Sums that may be those of no losses.
                fn sums(&mut self, [count, clipped, non_finite]: [u64; 3], numbers: [$float; 3]) {
                    let [mean, squares, largest_excess] = numbers;
                    let sums = $sums { count, clipped, non_finite, mean, squares, largest_excess };
                    let before = self.fields();
                    // SAFETY: valid.
                    let status = unsafe { $update(&mut self.c, &sums) };
                    match &mut self.rust {
                        Some(rust) if sums_of(&sums).is_valid() => {
                            assert_eq!(status, ALRC_OK);
                            rust.update(&sums_of(&sums));
                        }
                        rust => {
                            assert_eq!(
                                status,
                                if rust.is_some() { ALRC_ERROR_SUMS } else { ALRC_ERROR_STATE }
                            );
                            assert_eq!(self.fields(), before);
                        }
                    }
                }

                fn save(&mut self, len: usize) {
                    let mut bytes = vec![7; len];
                    // SAFETY: valid for `len`.
                    let status = unsafe { $save(&self.c, bytes.as_mut_ptr(), len) };
                    if len == SNAPSHOT_LEN {
                        self.expect(status);
                    } else {
                        assert_eq!(status, ALRC_ERROR_LENGTH);
                        assert!(bytes.iter().all(|&byte| byte == 7));
                    }
                }

                fn load(&mut self, bytes: &[u8], is_sealed: bool) {
                    let good = Alrc::new(Config::<$float>::default()).expect("defaults are valid").to_bytes();
                    let bytes = if is_sealed { sealed(bytes, good) } else { bytes.to_vec() };
                    let before = self.fields();
                    // SAFETY: valid for the length.
                    let status = unsafe { $load(&mut self.c, bytes.as_ptr(), bytes.len()) };
                    match Alrc::from_bytes(&bytes) {
                        Ok(alrc) => {
                            assert_eq!(status, ALRC_OK);
                            self.rust = Some(alrc);
                        }
                        Err(_) => {
                            assert_ne!(status, ALRC_OK);
                            assert_eq!(status == ALRC_ERROR_LENGTH, bytes.len() != SNAPSHOT_LEN);
                            assert_eq!(self.fields(), before);
                        }
                    }
                }

                /// Changes bits of a field.
                fn damage(&mut self, field: usize, change: u64) {
                    let before = self.c;
                    let (mut numbers, mut integers) = numbers_and_integers(&mut self.c);
                    let field = field % (numbers.len() + integers.len());
                    if let Some(number) = numbers.get_mut(field) {
                        **number = $float::from_bits(number.to_bits() ^ change as $bits);
                    } else if let Some(integer) = integers.get_mut(field - numbers.len()) {
                        **integer ^= change as u32;
                    }
                    let $state { config, mean, carry, variance, warm_up_left, tag } = self.c;
                    let state = State { mean, carry, variance, warm_up_left };
                    let rust = config_of(&config).and_then(|config| Alrc::from_state(config, state).ok());
                    if tag != self.tag {
                        self.rust = None;
                    } else if rust.is_some() {
                        self.rust = rust;
                    } else {
                        use_damaged(self.c);
                        self.c = before;
                    }
                }
            }

            /// A state that no steps have left gives any numbers, but no undefined behaviour and no panic.
            fn use_damaged(mut state: $state) {
                let losses = [20.0, $float::NAN, 1e3, -1e3, $float::MAX, $float::INFINITY];
                // SAFETY: structs of numbers.
                let (mut limits, mut sums): ($limits, $sums) = unsafe { std::mem::zeroed() };
                let [mut clipped, mut scales] = [losses; 2];
                let mut bytes = [0; ALRC_SNAPSHOT_LEN];
                let (x, c, s) = (losses.as_ptr(), clipped.as_mut_ptr(), scales.as_mut_ptr());
                // SAFETY: valid for the lengths.
                unsafe {
                    assert_eq!($get_limits(&state, &mut limits), ALRC_OK);
                    if $clip(&limits, x, c, s, losses.len(), &mut sums) == ALRC_OK {
                        assert_eq!($update(&mut state, &sums), ALRC_OK);
                    }
                    for loss in losses {
                        assert_eq!($step(&mut state, loss, c, s), ALRC_OK);
                    }
                    assert_eq!($step_batch(&mut state, x, c, s, losses.len(), null_mut()), ALRC_OK);
                    assert_eq!($moments(&state, c, s), ALRC_OK);
                    assert_eq!($save(&state, bytes.as_mut_ptr(), bytes.len()), ALRC_OK);
                }
            }

            /// The fields of a state.
            fn numbers_and_integers(state: &mut $state) -> ([&mut $float; 10], [&mut u32; 5]) {
                let $state { config, mean, carry, variance, warm_up_left, tag } = state;
                let $config {
                    num_stddev,
                    num_stddev_below,
                    decay1,
                    decay2,
                    mu1_start,
                    mu2_start,
                    epsilon,
                    warm_up_steps,
                    scaling,
                    non_finite,
                } = config;
                (
                    [
                        num_stddev,
                        num_stddev_below,
                        decay1,
                        decay2,
                        mu1_start,
                        mu2_start,
                        epsilon,
                        mean,
                        carry,
                        variance,
                    ],
                    [warm_up_steps, scaling, non_finite, warm_up_left, tag],
                )
            }

            /// Limits that may be those of no state.
            fn limits(numbers: [$float; 3], choices: [u32; 2], losses: &[$float]) {
                let ([lower, mean, upper], [scaling_number, non_finite_number]) = (numbers, choices);
                let limits =
                    $limits { lower, mean, upper, scaling: scaling_number, non_finite: non_finite_number };
                let [mut clipped, mut scales] = [losses.to_vec(), losses.to_vec()];
                // SAFETY: valid for the length; null.
                let status = unsafe {
                    let (clipped, scales) = (clipped.as_mut_ptr(), scales.as_mut_ptr());
                    $clip(&limits, losses.as_ptr(), clipped, scales, losses.len(), null_mut())
                };
                let [mut clipped_in_rust, mut scales_in_rust] = [losses.to_vec(), losses.to_vec()];
                let rust = match (scaling(scaling_number), non_finite(non_finite_number)) {
                    (Some(scaling), Some(non_finite)) => {
                        Limits::from_parts(lower, mean, upper, scaling, non_finite)
                    }
                    _ => None,
                };
                assert_eq!(status, if rust.is_some() { ALRC_OK } else { ALRC_ERROR_LIMITS });
                if let Some(limits) = rust {
                    limits.clip_batch(losses, &mut clipped_in_rust, &mut scales_in_rust);
                }
                assert_eq!((bits(&clipped), bits(&scales)), (bits(&clipped_in_rust), bits(&scales_in_rust)));
            }
        }
    };
}

check_type!(single f32 u32: alrc_f32 alrc_f32_config alrc_f32_limits alrc_f32_sums alrc_f32_report, alrc_f32_config_default
    alrc_f32_init alrc_f32_step alrc_f32_step_batch alrc_f32_get_limits alrc_f32_clip alrc_f32_sums_merge alrc_f32_update
    alrc_f32_moments alrc_f32_save alrc_f32_load);
check_type!(double f64 u64: alrc_f64 alrc_f64_config alrc_f64_limits alrc_f64_sums alrc_f64_report, alrc_f64_config_default
    alrc_f64_init alrc_f64_step alrc_f64_step_batch alrc_f64_get_limits alrc_f64_clip alrc_f64_sums_merge alrc_f64_update
    alrc_f64_moments alrc_f64_save alrc_f64_load);
