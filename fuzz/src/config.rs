//! Any text gives an error or a configuration; one that is valid comes back the same from its own file, and so do the
//! runs of a grid.

use alrc_cpu_train::config::Config;
use alrc_cpu_train::experiment::grid::Grid;
use arbitrary::{Arbitrary, Unstructured};

/// Panics where the file's first line does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = <&str>::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    if let Ok(config) =
        text.parse().map_err(drop).and_then(|table| Config::default().with(&table).map_err(drop))
    {
        if config.validate().is_ok() {
            let file = toml::to_string(&config).expect("a valid configuration can be written");
            assert_eq!(toml::from_str::<Config>(&file).expect("and read"), config);
            assert_eq!(config.first_difference(&config.defining()), None);
        }
    }
    if let Ok(runs) = Grid::parse(text).and_then(|grid| grid.runs(&Config::default())) {
        assert!(!runs.is_empty());
        for run in runs {
            assert!(run.config.validate().is_ok() && !run.name.contains(['/', '\\']));
        }
    }
}
