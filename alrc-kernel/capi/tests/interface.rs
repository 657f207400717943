//! What a caller in C can do wrong gives the documented status, and changes nothing.

use std::ffi::CStr;
use std::mem::{MaybeUninit, size_of};
use std::ptr::{from_mut, from_ref, null, null_mut};

use alrc::*;
use alrc_kernel::{Alrc, Config};

macro_rules! interface {
    ($float:ident: $state:ident $config:ident $limits:ident $sums:ident $report:ident, $config_default:ident $init:ident
     $step:ident $step_batch:ident $get_limits:ident $clip:ident $sums_merge:ident $update:ident $moments:ident
     $save:ident $load:ident, $other_save:ident $other_load:ident $other_state:ident) => {
        mod $float {
            use super::*;

            fn config() -> $config {
                let mut config = MaybeUninit::uninit();
                // SAFETY: valid for writes; written on success.
                unsafe {
                    assert_eq!($config_default(config.as_mut_ptr()), ALRC_OK);
                    config.assume_init()
                }
            }

            fn init(config: &$config) -> Result<$state, alrc_status> {
                let mut state = MaybeUninit::uninit();
                // SAFETY: valid; written on success.
                unsafe {
                    match $init(state.as_mut_ptr(), config) {
                        ALRC_OK => Ok(state.assume_init()),
                        status => Err(status),
                    }
                }
            }

            fn state() -> $state {
                init(&config()).unwrap()
            }

            fn limits() -> $limits {
                let mut limits = MaybeUninit::uninit();
                // SAFETY: valid; written on success.
                unsafe {
                    assert_eq!($get_limits(&state(), limits.as_mut_ptr()), ALRC_OK);
                    limits.assume_init()
                }
            }

            fn sums(losses: &[$float]) -> $sums {
                let mut sums = MaybeUninit::uninit();
                // SAFETY: valid; written on success.
                unsafe {
                    let (losses, len) = (losses.as_ptr(), losses.len());
                    assert_eq!(
                        $clip(&limits(), losses, null_mut(), null_mut(), len, sums.as_mut_ptr()),
                        ALRC_OK
                    );
                    sums.assume_init()
                }
            }

            #[test]
            fn default_is_the_kernels() {
                let alrc = Alrc::new(Config::<$float>::default()).unwrap();
                let mut bytes = [0; ALRC_SNAPSHOT_LEN];
                // SAFETY: valid.
                assert_eq!(unsafe { $save(&state(), bytes.as_mut_ptr(), bytes.len()) }, ALRC_OK);
                assert_eq!(bytes, alrc.to_bytes());
            }

            #[test]
            fn null_is_an_error_where_it_is_not_permitted() {
                let (mut state, mut limits, mut sums, config) = (state(), limits(), sums(&[1.0]), config());
                let (losses, mut bytes) = ([1.0], [0; ALRC_SNAPSHOT_LEN]);
                let before = state;
                // SAFETY: null or valid.
                unsafe {
                    assert_eq!($config_default(null_mut()), ALRC_ERROR_NULL);
                    assert_eq!($init(null_mut(), &config), ALRC_ERROR_NULL);
                    assert_eq!($init(&mut state, null()), ALRC_ERROR_NULL);
                    assert_eq!($step(null_mut(), 1.0, null_mut(), null_mut()), ALRC_ERROR_NULL);
                    let [x, c, s, r] = [losses.as_ptr(), null(), null(), null()];
                    let (c, s, r) = (c.cast_mut(), s.cast_mut(), r.cast_mut().cast());
                    assert_eq!($step_batch(null_mut(), x, c, s, 1, r), ALRC_ERROR_NULL);
                    assert_eq!($step_batch(&mut state, null(), c, s, 1, r), ALRC_ERROR_NULL);
                    assert_eq!($get_limits(null(), &mut limits), ALRC_ERROR_NULL);
                    assert_eq!($get_limits(&state, null_mut()), ALRC_ERROR_NULL);
                    assert_eq!($clip(null(), x, c, s, 1, &mut sums), ALRC_ERROR_NULL);
                    assert_eq!($clip(&limits, null(), c, s, 1, &mut sums), ALRC_ERROR_NULL);
                    assert_eq!($sums_merge(null_mut(), &sums), ALRC_ERROR_NULL);
                    assert_eq!($sums_merge(&mut sums, null()), ALRC_ERROR_NULL);
                    assert_eq!($update(null_mut(), &sums), ALRC_ERROR_NULL);
                    assert_eq!($update(&mut state, null()), ALRC_ERROR_NULL);
                    assert_eq!($moments(null(), null_mut(), null_mut()), ALRC_ERROR_NULL);
                    assert_eq!($save(null(), bytes.as_mut_ptr(), bytes.len()), ALRC_ERROR_NULL);
                    assert_eq!($save(&state, null_mut(), bytes.len()), ALRC_ERROR_NULL);
                    assert_eq!($load(null_mut(), bytes.as_ptr(), bytes.len()), ALRC_ERROR_NULL);
                    assert_eq!($load(&mut state, null(), bytes.len()), ALRC_ERROR_NULL);
                }
                assert!(state == before);
                assert_eq!(bytes, [0; ALRC_SNAPSHOT_LEN]);
            }

            #[test]
            fn results_that_are_not_wanted_may_be_null() {
                let (mut some, mut none) = (state(), state());
                let losses = [20.0, 900.0, -4.0];
                let [mut clipped, mut scales] = [[0.0; 3]; 2];
                let mut report = MaybeUninit::<$report>::uninit();
                let x = losses.as_ptr();
                // SAFETY: null or valid; the report is written on success.
                unsafe {
                    let (c, s) = (clipped.as_mut_ptr(), scales.as_mut_ptr());
                    assert_eq!($step_batch(&mut some, x, c, s, 3, report.as_mut_ptr()), ALRC_OK);
                    assert_eq!($step_batch(&mut none, x, null_mut(), null_mut(), 3, null_mut()), ALRC_OK);
                    let report = report.assume_init();
                    assert_eq!((report.clipped, report.non_finite, report.updated), (1, 0, 1));
                    assert_eq!(clipped, [20.0, report.limit, -4.0]);
                    assert_eq!(scales, [1.0, report.limit / 900.0, 1.0]);
                    assert_eq!($step(&mut some, 30.0, &mut clipped[0], &mut scales[0]), ALRC_OK);
                    assert_eq!($step(&mut none, 30.0, null_mut(), null_mut()), ALRC_OK);
                    assert_eq!($moments(&some, null_mut(), null_mut()), ALRC_OK);
                }
                assert!(some == none);
                assert_eq!((clipped[0], scales[0]), (30.0, 1.0));
            }

            #[test]
            fn no_loss_moves_nothing() {
                let mut state = state();
                let before = state;
                let mut report = MaybeUninit::<$report>::uninit();
                // SAFETY: null with length 0, or valid; written on success.
                unsafe {
                    let none = null_mut();
                    assert_eq!($step_batch(&mut state, none, none, none, 0, report.as_mut_ptr()), ALRC_OK);
                    assert_eq!(report.assume_init().updated, 0);
                    let no_sums = sums(&[]);
                    assert_eq!(no_sums.count, 0);
                    assert_eq!($update(&mut state, &no_sums), ALRC_OK);
                }
                assert!(state == before);
            }

            #[test]
            fn misaligned_pointers_are_errors() {
                let mut state = state();
                let before = state;
                let mut numbers = [1.0 as $float; 4];
                let inside = numbers.as_mut_ptr().cast::<u8>().wrapping_add(1);
                let none = null_mut();
                // SAFETY: misaligned or valid.
                unsafe {
                    let x = inside.cast::<$float>();
                    assert_eq!($step_batch(&mut state, x, none, none, 1, null_mut()), ALRC_ERROR_ALIGNMENT);
                    assert_eq!($step_batch(&mut state, x, x, none, 1, null_mut()), ALRC_ERROR_ALIGNMENT);
                    assert_eq!($step(&mut state, 1.0, x, none), ALRC_ERROR_ALIGNMENT);
                    assert_eq!($step(&mut state, 1.0, none, x), ALRC_ERROR_ALIGNMENT);
                    assert_eq!($step(inside.cast(), 1.0, none, none), ALRC_ERROR_ALIGNMENT);
                    assert_eq!($update(&mut state, inside.cast()), ALRC_ERROR_ALIGNMENT);
                }
                assert!(state == before);
                assert_eq!(numbers, [1.0; 4]);
            }

            #[test]
            fn buffers_that_overlap_are_errors_but_for_losses_that_are_replaced() {
                let (mut apart, mut state) = (state(), state());
                let before = state;
                let mut buffer = [1.0, 900.0, 3.0, 7.0];
                let [mut clipped, mut scales] = [[0.0 as $float; 3]; 2];
                // SAFETY: valid for 3 values from the first or the second.
                unsafe {
                    let (c, s) = (clipped.as_mut_ptr(), scales.as_mut_ptr());
                    assert_eq!($step_batch(&mut apart, buffer.as_ptr(), c, s, 3, null_mut()), ALRC_OK);
                    let x = buffer.as_mut_ptr();
                    let next = x.add(1);
                    for (losses, clipped, scales) in
                        [(x, next, s), (next, x, s), (x, c, x), (x, c, next), (x, x, next), (c, x, next)]
                    {
                        let status = $step_batch(&mut state, losses, clipped, scales, 3, null_mut());
                        assert_eq!(status, ALRC_ERROR_OVERLAP);
                        let status = $clip(&limits(), losses, clipped, scales, 3, null_mut());
                        assert_eq!(status, ALRC_ERROR_OVERLAP);
                    }
                    assert!(state == before);
                    assert_eq!(buffer, [1.0, 900.0, 3.0, 7.0]);
                    let x = buffer.as_mut_ptr();
                    assert_eq!($step_batch(&mut state, x, x, null_mut(), 3, null_mut()), ALRC_OK);
                }
                assert!(state == apart);
                assert_eq!(buffer[..3], clipped);
                assert_eq!(buffer[3], 7.0);
            }

            #[test]
            fn lengths_that_no_buffer_has_are_errors() {
                let mut state = state();
                let before = state;
                let (losses, mut bytes) = ([1.0], [7; ALRC_SNAPSHOT_LEN + 1]);
                // SAFETY: refused for their lengths, nothing is read or written.
                unsafe {
                    for len in [usize::MAX, usize::MAX / size_of::<$float>(), isize::MAX as usize / 2] {
                        let status =
                            $step_batch(&mut state, losses.as_ptr(), null_mut(), null_mut(), len, null_mut());
                        assert_eq!(status, ALRC_ERROR_LENGTH);
                    }
                    for len in [0, 1, ALRC_SNAPSHOT_LEN - 1, ALRC_SNAPSHOT_LEN + 1, usize::MAX] {
                        assert_eq!($save(&state, bytes.as_mut_ptr(), len), ALRC_ERROR_LENGTH);
                        assert_eq!($load(&mut state, bytes.as_ptr(), len), ALRC_ERROR_LENGTH);
                    }
                }
                assert!(state == before);
                assert_eq!(bytes, [7; ALRC_SNAPSHOT_LEN + 1]);
            }

            #[test]
            fn parameters_outside_their_ranges_are_named() {
                let refusal = |change: fn(&mut $config)| {
                    let mut config = config();
                    change(&mut config);
                    init(&config).err().unwrap()
                };
                assert_eq!(refusal(|config| config.num_stddev = -1.0), ALRC_ERROR_NUM_STDDEV);
                assert_eq!(refusal(|config| config.num_stddev = $float::INFINITY), ALRC_ERROR_NUM_STDDEV);
                assert_eq!(refusal(|config| config.num_stddev_below = -1.0), ALRC_ERROR_NUM_STDDEV_BELOW);
                assert_eq!(
                    refusal(|config| config.num_stddev_below = $float::NAN),
                    ALRC_ERROR_NUM_STDDEV_BELOW
                );
                assert_eq!(refusal(|config| config.decay1 = 1.0), ALRC_ERROR_DECAY1);
                assert_eq!(refusal(|config| config.decay2 = $float::NAN), ALRC_ERROR_DECAY2);
                assert_eq!(refusal(|config| config.mu1_start = $float::INFINITY), ALRC_ERROR_MU1_START);
                assert_eq!(refusal(|config| config.mu2_start = 625.0), ALRC_ERROR_MU2_START);
                assert_eq!(refusal(|config| config.epsilon = -1e-30), ALRC_ERROR_EPSILON);
                assert_eq!(refusal(|config| config.scaling = 2), ALRC_ERROR_SCALING);
                assert_eq!(refusal(|config| config.non_finite = u32::MAX), ALRC_ERROR_NON_FINITE);
            }

            #[test]
            fn states_that_were_not_initialised_are_errors() {
                for byte in 0..=u8::MAX {
                    // SAFETY: any bytes are a struct of numbers.
                    let (mut state, mut limits, mut bytes) = unsafe {
                        let mut state = MaybeUninit::<$state>::uninit();
                        state.as_mut_ptr().write_bytes(byte, 1);
                        (state.assume_init(), limits(), [0; ALRC_SNAPSHOT_LEN])
                    };
                    let no_sums = sums(&[]);
                    let none = null_mut();
                    // SAFETY: null or valid.
                    let statuses = unsafe {
                        [
                            $step(&mut state, 1.0, none, none),
                            $step_batch(&mut state, [1.0].as_ptr(), none, none, 1, null_mut()),
                            $get_limits(&state, &mut limits),
                            $update(&mut state, &no_sums),
                            $moments(&state, none, none),
                            $save(&state, bytes.as_mut_ptr(), bytes.len()),
                        ]
                    };
                    assert_eq!(statuses, [ALRC_ERROR_STATE; 6]);
                }
            }

            #[test]
            fn a_state_of_the_other_type_is_an_error() {
                let size = size_of::<$state>().max(size_of::<$other_state>());
                let mut memory = vec![0_u64; size.div_ceil(8)];
                let mut bytes = [0; ALRC_SNAPSHOT_LEN];
                // SAFETY: valid: room for either, aligned for either.
                let status = unsafe {
                    assert_eq!($init(memory.as_mut_ptr().cast(), &config()), ALRC_OK);
                    $other_save(memory.as_ptr().cast(), bytes.as_mut_ptr(), bytes.len())
                };
                assert_eq!(status, ALRC_ERROR_STATE);
            }

            #[test]
            fn damaged_structs_are_errors() {
                let damages: [fn(&mut $limits); 3] = [
                    |limits| limits.mean = $float::NAN,
                    |limits| limits.lower = limits.upper,
                    |limits| limits.scaling = 2,
                ];
                for damage in damages {
                    let mut limits = limits();
                    damage(&mut limits);
                    // SAFETY: null or valid.
                    let status = unsafe { $clip(&limits, &1.0, null_mut(), null_mut(), 1, null_mut()) };
                    assert_eq!(status, ALRC_ERROR_LIMITS);
                }
                let damages: [fn(&mut $sums); 4] = [
                    |sums| sums.mean = $float::INFINITY,
                    |sums| sums.squares = -1.0,
                    |sums| sums.squares = $float::NAN,
                    |sums| sums.clipped = sums.count + 1,
                ];
                let good = sums(&[1.0, 2.0]);
                for damage in damages {
                    let (mut state, mut damaged, mut into) = (state(), good, good);
                    damage(&mut damaged);
                    // SAFETY: valid.
                    unsafe {
                        assert_eq!($update(&mut state, &damaged), ALRC_ERROR_SUMS);
                        assert_eq!($sums_merge(&mut into, &damaged), ALRC_ERROR_SUMS);
                        assert_eq!($sums_merge(&mut damaged, &good), ALRC_ERROR_SUMS);
                    }
                    assert!(into == good);
                }
            }

            #[test]
            fn snapshots_come_back_or_say_why_not() {
                let mut state = state();
                let (before, mut bytes) = (state, [0; ALRC_SNAPSHOT_LEN]);
                // SAFETY: valid; refused, nothing is written.
                unsafe {
                    assert_eq!($save(&state, bytes.as_mut_ptr(), bytes.len()), ALRC_OK);
                    let mut other = MaybeUninit::<$other_state>::uninit();
                    let status = $other_load(other.as_mut_ptr(), bytes.as_ptr(), bytes.len());
                    assert_eq!(status, ALRC_ERROR_SNAPSHOT_TYPE);
                    let mut later = bytes;
                    later[4] += 1;
                    let status = $load(&mut state, later.as_ptr(), later.len());
                    assert_eq!(status, ALRC_ERROR_SNAPSHOT_VERSION);
                    for place in [0, 8, 99] {
                        let mut damaged = bytes;
                        damaged[place] ^= 1;
                        let status = $load(&mut state, damaged.as_ptr(), damaged.len());
                        assert_eq!(status, ALRC_ERROR_SNAPSHOT);
                    }
                    assert!(state == before);
                    assert_eq!($step(&mut state, 1.0, null_mut(), null_mut()), ALRC_OK);
                    assert!(state != before);
                    assert_eq!($load(&mut state, bytes.as_ptr(), bytes.len()), ALRC_OK);
                }
                assert!(state == before);
            }

            #[test]
            fn structs_may_be_their_own_source() {
                let mut state = state();
                let mut once = sums(&[1.0, 2.0]);
                let other = once;
                let mut twice = once;
                let (place, sums) = (from_mut(&mut state), from_mut(&mut once));
                // SAFETY: valid.
                unsafe {
                    assert_eq!($init(place, &raw const (*place).config), ALRC_OK);
                    assert_eq!($sums_merge(sums, sums), ALRC_OK);
                    assert_eq!($sums_merge(&mut twice, from_ref(&other)), ALRC_OK);
                }
                assert!(once == twice);
                assert_eq!(once.count, 4);
            }
        }
    };
}

interface!(f32: alrc_f32 alrc_f32_config alrc_f32_limits alrc_f32_sums alrc_f32_report, alrc_f32_config_default
    alrc_f32_init alrc_f32_step alrc_f32_step_batch alrc_f32_get_limits alrc_f32_clip alrc_f32_sums_merge
    alrc_f32_update alrc_f32_moments alrc_f32_save alrc_f32_load, alrc_f64_save alrc_f64_load alrc_f64);
interface!(f64: alrc_f64 alrc_f64_config alrc_f64_limits alrc_f64_sums alrc_f64_report, alrc_f64_config_default
    alrc_f64_init alrc_f64_step alrc_f64_step_batch alrc_f64_get_limits alrc_f64_clip alrc_f64_sums_merge
    alrc_f64_update alrc_f64_moments alrc_f64_save alrc_f64_load, alrc_f32_save alrc_f32_load alrc_f32);

#[test]
fn every_status_has_a_message_of_its_own() {
    let message = |status| {
        // SAFETY: a string that ends in 0 and lives for ever.
        unsafe { CStr::from_ptr(alrc_status_message(status)) }.to_str().unwrap()
    };
    let known: Vec<&str> = (0..=10).chain(16..=24).map(message).collect();
    for (index, text) in known.iter().enumerate() {
        assert!(!text.is_empty() && !known[..index].contains(text));
    }
    for unknown in [-1, 11, 15, 25, i32::MAX, i32::MIN] {
        assert_eq!(message(unknown), "unknown status");
    }
}
