//! Runs that belong together, and what they show.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::runs::{Run, State};
use super::welch::{self, Sample, Test};

/// Experiments that differ only in the threshold of the clipping.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Their configuration.
    pub values: BTreeMap<String, String>,
    /// A group for each threshold, that without clipping first.
    pub groups: Vec<Group>,
}

/// Repeats of one experiment: runs that differ only in their seed.
#[derive(Clone, Debug)]
pub struct Group {
    /// Standard deviations at which losses were clipped; none: not at all.
    pub num_stddev: Option<f32>,
    /// The runs, by seed; never empty.
    pub runs: Vec<Run>,
    /// The figures of merit of the finished runs.
    pub sample: Sample,
    /// Comparison with the group without clipping.
    pub test: Option<Test>,
}

impl Group {
    fn new(num_stddev: Option<f32>, mut runs: Vec<Run>) -> Self {
        runs.sort_by_key(|run| run.config.seed);
        let finished = runs.iter().filter(|run| run.state == State::Finished);
        let merits: Vec<f64> = finished.filter_map(|run| run.last_loss).collect();
        Self { num_stddev, runs, sample: Sample::new(&merits), test: None }
    }

    /// The threshold in words.
    pub fn clipping(&self) -> String {
        self.num_stddev.map_or("off".to_owned(), |n| n.to_string())
    }

    /// Number of runs that have come to this state.
    pub fn count(&self, state: State) -> usize {
        self.runs.iter().filter(|run| run.state == state).count()
    }

    /// Mean over the finished runs; none if there is none.
    pub fn mean(&self, value: impl Fn(&Run) -> f64) -> Option<f64> {
        let finished: Vec<f64> =
            self.runs.iter().filter(|run| run.state == State::Finished).map(value).collect();
        (!finished.is_empty()).then(|| finished.iter().sum::<f64>() / finished.len() as f64)
    }
}

impl Setting {
    fn new(values: BTreeMap<String, String>, runs: Vec<Run>) -> Self {
        let mut by_threshold: Vec<(Option<f32>, Vec<Run>)> = Vec::new();
        for run in runs {
            let threshold = run.config.num_stddev;
            match by_threshold.iter_mut().find(|(known, _)| *known == threshold) {
                Some((_, runs)) => runs.push(run),
                None => by_threshold.push((threshold, vec![run])),
            }
        }
        by_threshold.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        let groups = by_threshold.into_iter().map(|(threshold, runs)| Group::new(threshold, runs)).collect();
        Self { values, groups }
    }

    /// The figures of merit of the runs without clipping, if there are such.
    fn unclipped(&self) -> Option<Sample> {
        self.groups.iter().find(|group| group.num_stddev.is_none()).map(|group| group.sample)
    }

    /// What tells runs without clipping apart.
    fn values_without_clipping(&self) -> BTreeMap<String, String> {
        let values = self.values.iter().filter(|(key, _)| !OF_CLIPPING.contains(&key.as_str()));
        values.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// A configured value, as text.
    pub fn value(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    /// Planned steps of its runs.
    pub fn steps(&self) -> u64 {
        self.groups[0].runs[0].config.steps
    }
}

/// The settings of all runs, and the keys of the configuration that tell the settings apart, besides
/// [`MAIN_KEYS`].
#[derive(Clone, Debug)]
pub struct Collection {
    /// The settings, in the order of the main keys, then of the others.
    pub settings: Vec<Setting>,
    /// Other keys whose value is not the same in all settings.
    pub varying: Vec<String>,
    /// Runs that are left out.
    pub copies: Vec<Copied>,
}

/// A run that repeats another one, seed and all.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Where it lies.
    pub directory: PathBuf,
    /// Where the one lies that counts.
    pub of: PathBuf,
}

/// Options that change nothing without clipping.
const OF_CLIPPING: [&str; 4] = ["decay", "mu1-start", "mu2-start", "warm-up"];

/// Compares runs with clipping to those without: to those of their own setting or, where it has none, of another that
/// would be the same without clipping.
fn compare_with_unclipped(settings: &mut [Setting]) {
    let unclipped: Vec<_> = settings
        .iter()
        .filter_map(|setting| Some((setting.values_without_clipping(), setting.unclipped()?)))
        .collect();
    for setting in settings {
        let values = setting.values_without_clipping();
        let of_others = || unclipped.iter().find(|(others, _)| *others == values).map(|&(_, sample)| sample);
        let Some(off) = setting.unclipped().or_else(of_others) else { continue };
        for group in setting.groups.iter_mut().filter(|group| group.num_stddev.is_some()) {
            group.test = welch::test(&group.sample, &off);
        }
    }
}

/// By what the paper tells its experiments apart.
pub const MAIN_KEYS: [&str; 4] = ["loss", "optimizer", "learning-rate", "batch-size"];

/// Adds the checksum of the images to the name of the data, where runs with other images have the same name.
fn tell_images_apart(mut runs: Vec<Run>) -> Vec<Run> {
    let mut known: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for run in &runs {
        known.entry(run.setting["data"].clone()).or_default().extend(run.images_crc32);
    }
    for run in &mut runs {
        let name = run.setting["data"].clone();
        if let Some(images) = run.images_crc32
            && known[&name].len() > 1
        {
            run.setting.insert("data".to_owned(), format!("{name} (CRC-32 {images:08x})"));
        }
    }
    runs
}

impl Collection {
    /// Number of groups with clipping whose finished runs had no loss clipped.
    pub fn without_effect(&self) -> usize {
        let groups = self.settings.iter().flat_map(|setting| &setting.groups);
        let with_clipping = groups.filter(|group| group.num_stddev.is_some());
        with_clipping.filter(|group| group.mean(|run| run.clipped_fraction) == Some(0.0)).count()
    }

    /// Puts runs in order.
    pub fn new(runs: Vec<Run>) -> Self {
        let mut by_setting: BTreeMap<BTreeMap<String, String>, Vec<Run>> = BTreeMap::new();
        let mut copies: Vec<Copied> = Vec::new();
        for run in tell_images_apart(runs) {
            let others = by_setting.entry(run.setting.clone()).or_default();
            let is_same = |other: &&mut Run| {
                other.config.seed == run.config.seed && other.config.num_stddev == run.config.num_stddev
            };
            match others.iter_mut().find(is_same) {
                Some(other) => {
                    let copy = if other.steps >= run.steps { run } else { std::mem::replace(other, run) };
                    let of = other.directory.clone();
                    // The copies of what is now a copy itself.
                    let former = copies.iter_mut().filter(|known| known.of == copy.directory);
                    former.for_each(|known| known.of.clone_from(&of));
                    copies.push(Copied { directory: copy.directory, of });
                }
                None => others.push(run),
            }
        }
        let mut settings: Vec<Setting> =
            by_setting.into_iter().map(|(values, runs)| Setting::new(values, runs)).collect();
        settings.sort_by(in_order);
        compare_with_unclipped(&mut settings);
        let keys: BTreeSet<&String> = settings.iter().flat_map(|setting| setting.values.keys()).collect();
        let varies = |key: &str| settings.iter().any(|setting| setting.value(key) != settings[0].value(key));
        let varying = keys
            .into_iter()
            .filter(|key| !MAIN_KEYS.contains(&key.as_str()) && varies(key))
            .cloned()
            .collect();
        Self { settings, varying, copies }
    }

    /// All runs.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.settings.iter().flat_map(|setting| &setting.groups).flat_map(|group| &group.runs)
    }

    /// What tells a setting apart besides the main keys, such as `width 4, decay 0.99`; mostly nothing.
    pub fn others(&self, setting: &Setting) -> String {
        let others = self.varying.iter().map(|key| format!("{key} {}", setting.value(key)));
        others.collect::<Vec<_>>().join(", ")
    }

    /// A setting in words.
    pub fn title(&self, setting: &Setting) -> String {
        let [loss, optimizer, rate, batch] = MAIN_KEYS.map(|key| setting.value(key));
        let optimizer = match optimizer {
            "adam" => "Adam",
            "sgd" => "SGD",
            other => other,
        };
        let mut title = format!("{loss} errors, {optimizer}, learning rate {rate}, batch {batch}");
        if !self.varying.is_empty() {
            title = format!("{title}, {}", self.others(setting));
        }
        title
    }

    /// Each setting as part of a file name; no two are the same.
    pub fn file_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for setting in &self.settings {
            let name = self.file_name(setting);
            let numbered = (2..).map(|number| format!("{name}-{number}"));
            let new = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name));
            names.extend(new);
        }
        names
    }

    fn file_name(&self, setting: &Setting) -> String {
        let [loss, optimizer, rate, batch] = MAIN_KEYS.map(|key| setting.value(key));
        let mut name = format!("{loss}-{optimizer}-rate-{rate}-batch-{batch}");
        for key in &self.varying {
            name += &format!("-{key}-{}", setting.value(key));
        }
        name.replace(|c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c), "-")
    }

    /// The directory of a run, below what all runs have in common.
    pub fn name(&self, run: &Run) -> String {
        let parent = |run: &Run| run.directory.parent().map(Path::to_owned).unwrap_or_default();
        let mut common = parent(run);
        while !self.runs().all(|run| run.directory.starts_with(&common)) && common.pop() {}
        run.directory.strip_prefix(&common).unwrap_or(&run.directory).display().to_string()
    }
}

/// Squared before quartic, as in the paper; then the optimiser; then the other options. Numbers come by size, and before
/// words.
fn in_order(a: &Setting, b: &Setting) -> Ordering {
    let compare = |key: &str| {
        let (a, b) = (a.value(key), b.value(key));
        match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.total_cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            _ if key == "loss" => b.cmp(a),
            _ => a.cmp(b),
        }
    };
    // Of both: settings of other versions have other keys.
    let others: BTreeSet<&String> = a.values.keys().chain(b.values.keys()).collect();
    let keys = MAIN_KEYS.into_iter().chain(others.into_iter().map(String::as_str));
    keys.fold(Ordering::Equal, |order, key| order.then_with(|| compare(key)))
}
