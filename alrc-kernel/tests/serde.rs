//! What serde writes is read back, and what could not have been written is not.

use alrc_kernel::{Alrc, Config, Scaling, Start};

/// One that has seen losses.
fn used() -> Alrc<f32> {
    let start = Start::WarmUp { steps: 5 };
    let config = Config {
        num_stddev_below: Some(1.5),
        decay2: 0.9,
        start,
        scaling: Scaling::Deviation,
        ..Config::default()
    };
    let mut alrc = Alrc::new(config).unwrap();
    for step in 0..20 {
        alrc.step(1.0 / (1 + step) as f32);
    }
    alrc
}

#[test]
fn what_is_written_is_read() {
    let alrc = used();
    let json = serde_json::to_string(&alrc).unwrap();
    let read: Alrc<f32> = serde_json::from_str(&json).unwrap();
    assert_eq!(read.to_bytes(), alrc.to_bytes());
}

#[test]
fn what_no_configuration_or_state_can_hold_is_refused() {
    let document = serde_json::to_value(used()).unwrap();
    for (part, name, value) in [
        ("config", "num_stddev", -3.0),
        ("config", "decay1", 7.0),
        ("state", "variance", -1.0),
        ("state", "mean", 1e30),
    ] {
        let mut document = document.clone();
        assert!(document[part][name].is_number(), "{part}.{name}");
        document[part][name] = value.into();
        assert!(serde_json::from_value::<Alrc<f32>>(document).is_err(), "{part}.{name}: {value}");
    }
}
