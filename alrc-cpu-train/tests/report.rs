//! `alrc-train report` as a user meets it: what it finds in directories of runs, and what it makes of it.

#[path = "common/program.rs"]
mod program;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use alrc_cpu_train::config::Config;
use alrc_cpu_train::record::summary::{Ending, Summary};
use program::{alrc_train, assert_fails, process};
use serde_json::Value;

/// Writes the files of a run as `alrc-train run` does: losses are 8 everywhere, but `last` in the last tenth.
struct FakeRun<'a> {
    options: &'a str,
    seed: u64,
    num_stddev: Option<f32>,
    steps: u64,
    last: f64,
    images: u32,
    ending: Option<Ending>,
}

const RUN: FakeRun<'static> = FakeRun {
    options: "",
    seed: 0,
    num_stddev: None,
    steps: 100,
    last: 4.0,
    images: 1,
    ending: Some(Ending::Finished),
};

impl FakeRun<'_> {
    fn write(&self, directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        let mut config: toml::Table = toml::Table::try_from(Config {
            steps: self.steps,
            seed: self.seed,
            num_stddev: self.num_stddev,
            batch_size: 2,
            ..Default::default()
        })
        .unwrap();
        config.extend(toml::from_str::<toml::Table>(self.options).unwrap());
        fs::write(directory.join("config.toml"), config.to_string()).unwrap();
        let mut losses = String::from("step,loss,unclipped_loss,limit,clipped,learning_rate\n");
        for step in 0..self.steps {
            let loss = if step < self.steps - self.steps / 10 { 8.0 } else { self.last };
            let limit = self.num_stddev.map_or(String::new(), |n| format!("{}", 10.0 * n));
            losses += &format!("{step},{loss},{loss},{limit},0,0.001\n");
        }
        fs::write(directory.join("losses.csv"), losses).unwrap();
        if let Some(ending) = self.ending {
            let summary = Summary {
                ending,
                steps: self.steps,
                batch_size: 2,
                images_crc32: Some(self.images),
                images_per_second: None,
                wall_seconds: 1.0,
                peak_rss_bytes: None,
                clipped_fraction: 0.0,
                non_finite_images: 0,
                scale_histogram: vec![0; 19].into_iter().chain([self.steps]).collect(),
                mean_last_unclipped_loss: Some(self.last),
                final_checkpoint: None,
            };
            let json = serde_json::to_vec(&summary).unwrap();
            fs::write(directory.join("summary.json"), json).unwrap();
        }
    }
}

/// The document of `report --json runs`.
fn report(directory: &Path) -> Value {
    let output = alrc_train(directory, &["report", "runs", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn page(directory: &Path) -> String {
    fs::read_to_string(directory.join("runs-report/report.html")).unwrap()
}

#[test]
fn real_runs_become_a_report() {
    let directory = tempfile::tempdir().unwrap();
    for threshold in ["off", "2"] {
        for seed in ["0", "1"] {
            let out = format!("runs/{threshold}/{seed}");
            let options = ["--width", "4", "--steps", "12", "--batch-size", "2", "--seed", seed];
            let arguments = [&["run"], &options[..], &["--num-stddev", threshold, "--out", &out]].concat();
            alrc_train(directory.path(), &arguments).assert().success();
        }
    }
    let document = report(directory.path());
    let groups = document["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    for (group, num_stddev) in groups.iter().zip([Value::Null, 2.0.into()]) {
        assert_eq!((&group["num_stddev"], &group["repeats"]), (&num_stddev, &2.into()));
        // The last tenth of twelve steps is one step.
        let threshold = num_stddev.as_f64().map_or("off".to_owned(), |n| n.to_string());
        let last = |seed: u32| {
            let losses = directory.path().join(format!("runs/{threshold}/{seed}/losses.csv"));
            let losses = fs::read_to_string(losses).unwrap();
            losses.lines().last().unwrap().split(',').nth(2).unwrap().parse::<f64>().unwrap()
        };
        let mean = (last(0) + last(1)) / 2.0;
        assert!((group["mean"].as_f64().unwrap() - mean).abs() < 1e-12 * mean);
    }
    let name = "squared-adam-rate-0.00078125-batch-2";
    let out = directory.path().join("runs-report");
    for kind in ["curves", "limits"] {
        assert!(fs::read_to_string(out.join(format!("{kind}-{name}.svg"))).unwrap().starts_with("<svg"));
        image::open(out.join(format!("{kind}-{name}.png"))).unwrap();
    }
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    assert_eq!(table.lines().count(), 4);
    assert!(table.lines().all(|line| line.starts_with("| ") && line.ends_with(" |")));
    let csv = fs::read_to_string(out.join("table.csv")).unwrap();
    assert!(csv.starts_with("loss,optimizer,learning_rate,batch_size,"), "{csv}");
    let page = page(directory.path());
    assert!(page.contains("src=\"data:image/png;base64,"));
    for outside in ["src=\"http", "href=\"http", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "the page needs something else: {outside}");
    }
}

/// How moments start and how fast they change does not matter to a run without clipping.
#[test]
fn off_is_that_of_other_options_of_the_clipping_too() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    let others =
        [("start", "mu1-start = 5\nmu2-start = 30"), ("warm", "warm-up = 20"), ("decay", "decay = 0.9")];
    for (seed, last) in [(0, 5.0), (1, 5.2)] {
        FakeRun { seed, last, ..RUN }.write(&runs.join(format!("off-{seed}")));
        let clipped = FakeRun { seed, last: last - 1.0, num_stddev: Some(3.0), ..RUN };
        for (name, options) in others {
            FakeRun { options, ..clipped }.write(&runs.join(format!("{name}-{seed}")));
        }
        FakeRun { options: "width = 6", ..clipped }.write(&runs.join(format!("width-{seed}")));
    }
    let document = report(directory.path());
    let differences =
        document["groups"].as_array().unwrap().iter().map(|group| group["difference_from_off"].as_f64());
    let (compared, alone): (Vec<_>, Vec<_>) = differences.partition(Option::is_some);
    // Off itself, and another width.
    assert_eq!((compared.len(), alone.len()), (3, 2));
    assert!(compared.iter().flatten().all(|difference| (difference + 1.0).abs() < 1e-12), "{compared:?}");
}

#[test]
fn repeats_are_compared_with_off() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    for (seed, last) in [(0, 5.0), (1, 5.2), (2, 4.8)] {
        FakeRun { seed, last, ..RUN }.write(&runs.join(format!("off-{seed}")));
        let clipped = FakeRun { seed, last: last - 1.0, num_stddev: Some(3.0), ..RUN };
        clipped.write(&runs.join(format!("deep/down/clipped-{seed}")));
    }
    let document = report(directory.path());
    let clipped = &document["groups"][1];
    assert_eq!(clipped["num_stddev"], 3.0);
    let number = |key: &str| clipped[key].as_f64().unwrap();
    assert!((number("mean") - 4.0).abs() < 1e-12 && (number("std_dev") - 0.2).abs() < 1e-12);
    assert!((number("difference_from_off") + 1.0).abs() < 1e-12);
    // t = -1 / sqrt(2 * 0.04 / 3), with 4 degrees of freedom.
    assert!(
        (number("t") + 6.123_724_356_957_945).abs() < 1e-9
            && (number("degrees_of_freedom") - 4.0).abs() < 1e-9
    );
    assert!((number("p") - 0.003_602_5).abs() < 1e-6, "{}", number("p"));
    assert!(number("interval_low") < -1.0 && number("interval_high") < 0.0);
    let page = page(directory.path());
    assert!(page.contains("aria-label=\"Histogram of the scales") && page.contains("clipped at 3 standard"));
}

#[test]
fn what_does_not_matter_makes_no_setting() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    let same = [
        "threads = 1\ndata = \"cifar10\"",
        "threads = 7\ndata = \"/data/cifar10\"\ncheckpoint-every = 5",
        "data = \"../cifar10/\"",
    ];
    for (seed, options) in (0..).zip(same) {
        FakeRun { seed, options, ..RUN }.write(&runs.join(format!("same-{seed}")));
    }
    let others = ["width = 32", "loss = \"quartic\"", "learning-rate = 0.5", "decay = 0.9"];
    for (index, options) in others.into_iter().enumerate() {
        let options = format!("data = \"cifar10\"\n{options}");
        FakeRun { options: &options, ..RUN }.write(&runs.join(format!("other-{index}")));
    }
    let document = report(directory.path());
    let repeats: Vec<_> = document["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["repeats"].as_u64().unwrap())
        .collect();
    assert_eq!(repeats.len(), 5);
    assert_eq!(repeats.iter().sum::<u64>(), 7);
    // Quartic after squared; and what varies stands in the table.
    assert_eq!(document["groups"][4]["loss"], "quartic");
    assert_eq!(document["groups"][4]["other_settings"], "decay 0.999, width 128");
}

/// What a resumed run may change makes no setting; but for the number of steps, and the name of the data.
#[test]
fn neutral_options_make_no_setting() {
    let directory = tempfile::tempdir().unwrap();
    let neutral = [
        "data = \"elsewhere/builtin\"",
        "threads = 7",
        "conv = \"reference\"",
        "simd = \"scalar\"",
        "sum-order = \"fixed\"",
        "backend = \"wgpu\"",
        "adapter = \"llvmpipe\"",
        "checkpoint-every = 5",
        "keep = 5",
    ];
    let every = Config::every_option();
    let defining = Config::default().with(&every).unwrap().defining();
    let keys = every.keys().filter(|&key| key != "steps" && !defining.contains_key(key));
    for (seed, key) in (0..).zip(keys) {
        let of_key = neutral.iter().find(|options| options.starts_with(&format!("{key} = ")));
        let options = of_key.unwrap_or_else(|| panic!("no value for {key}"));
        FakeRun { seed, options, ..RUN }.write(&directory.path().join("runs").join(key));
    }
    let groups = report(directory.path())["groups"].clone();
    assert_eq!((groups.as_array().unwrap().len(), &groups[0]["repeats"]), (1, &neutral.len().into()));
}

/// A report reads the runs of later versions: an option that is unknown here makes another setting, unless it only says
/// how the work is carried out.
#[test]
fn options_of_later_versions_are_kept_apart() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    for (seed, options) in (0..).zip(["", "simd = \"avx2\"", "simd = \"auto\"\nconv = \"reference\""]) {
        FakeRun { seed, options, ..RUN }.write(&runs.join(format!("same-{seed}")));
    }
    FakeRun { options: "momentum = 0.5", ..RUN }.write(&runs.join("other"));
    let document = report(directory.path());
    let groups = document["groups"].as_array().unwrap();
    let repeats: Vec<_> = groups.iter().map(|group| group["repeats"].as_u64().unwrap()).collect();
    assert_eq!(repeats.iter().sum::<u64>(), 4);
    assert!(repeats.contains(&3) && groups.iter().any(|group| group["other_settings"] == "momentum 0.5"));
}

/// Without a limit during the warm-up, the line of the limit begins after it.
#[test]
fn limits_stand_at_their_steps() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("runs/a");
    FakeRun { num_stddev: Some(2.0), ..RUN }.write(&run);
    let losses = fs::read_to_string(run.join("losses.csv")).unwrap();
    let rows: Vec<String> = losses
        .lines()
        .enumerate()
        .map(|(line, row)| if (1..=50).contains(&line) { row.replace(",20,", ",,") } else { row.to_owned() })
        .collect();
    fs::write(run.join("losses.csv"), rows.join("\n") + "\n").unwrap();
    let limits = alrc_cpu_train::report::runs::Run::read(&run).unwrap().limits.points();
    assert_eq!((limits.len(), limits[0]), (50, (50.0, 20.0)));
}

#[test]
fn unfinished_and_diverged_runs_are_shown_but_not_counted() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    FakeRun { last: 5.0, ..RUN }.write(&runs.join("finished"));
    FakeRun { seed: 1, ending: None, ..RUN }.write(&runs.join("under way"));
    FakeRun { seed: 2, ending: Some(Ending::Diverged), ..RUN }.write(&runs.join("diverged"));
    FakeRun { seed: 3, ending: Some(Ending::Interrupted), ..RUN }.write(&runs.join("interrupted"));
    // Nor do its spikes and what was clipped.
    let losses = runs.join("diverged/losses.csv");
    let text = fs::read_to_string(&losses).unwrap();
    fs::write(&losses, text.replace("50,8,8,,0,", "50,8,800,,1,")).unwrap();
    // Cut off in the middle of a line, as a kill leaves it.
    let losses = runs.join("under way/losses.csv");
    let text = fs::read_to_string(&losses).unwrap();
    fs::write(&losses, &text[..text.len() - 9]).unwrap();
    let group = &report(directory.path())["groups"][0];
    assert_eq!(
        (&group["repeats"], &group["diverged"], &group["unfinished"]),
        (&1.into(), &1.into(), &2.into())
    );
    assert_eq!((&group["mean"], &group["std_dev"]), (&5.0.into(), &Value::Null));
    assert_eq!((&group["spikes_per_run"], &group["clipped_fraction"]), (&0.0.into(), &0.0.into()));
    fs::remove_dir_all(runs.join("finished")).unwrap();
    let group = &report(directory.path())["groups"][0];
    let of_repeats = ["mean", "spikes_per_run", "clipped_fraction"].map(|column| &group[column]);
    assert_eq!(of_repeats, [&Value::Null; 3]);
    FakeRun { last: 5.0, ..RUN }.write(&runs.join("finished"));
    report(directory.path());
    let page = page(directory.path());
    assert!(page.contains("4 runs of 1 setting, 2 unfinished, 1 diverged."), "{page}");
    assert!(page.contains("99 of 100"));
}

#[test]
fn a_run_that_is_to_have_more_steps_is_unfinished() {
    let directory = tempfile::tempdir().unwrap();
    FakeRun { options: "steps = 110", ..RUN }.write(&directory.path().join("runs/a"));
    assert_eq!(report(directory.path())["groups"][0]["unfinished"], 1);
}

#[test]
fn clipping_without_effect_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let told = || {
        let output = alrc_train(directory.path(), &["report", "runs"]).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    RUN.write(&directory.path().join("runs/off"));
    assert_eq!(told(), "");
    let clipped = directory.path().join("runs/clipped");
    FakeRun { num_stddev: Some(2.0), ..RUN }.write(&clipped);
    assert!(told().contains("in 1 row with clipping no loss was clipped"), "{}", told());
    let losses = fs::read_to_string(clipped.join("losses.csv")).unwrap();
    fs::write(clipped.join("losses.csv"), losses.replacen(",0,0.001", ",1,0.001", 1)).unwrap();
    assert_eq!(told(), "");
}

#[test]
fn the_same_run_counts_once() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    RUN.write(&runs.join("a"));
    FakeRun { options: "threads = 9", ..RUN }.write(&runs.join("b"));
    let output = alrc_train(directory.path(), &["report", "runs", "runs/a", "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["groups"][0]["repeats"], 1);
    let left_out = document["left_out"][0].as_str().unwrap();
    let place = |name: &str| runs.canonicalize().unwrap().join(name).display().to_string();
    assert!(left_out.starts_with(&place("b")), "{left_out}");
    assert!(left_out.ends_with(&format!("the same run, seed and all, as {}", place("a"))), "{left_out}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("WARN left out: "));
    let output = alrc_train(directory.path(), &["report", "runs", "--log-level", "off"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// A copy is named with the run that stays, however many there are.
#[test]
fn every_copy_is_named_with_the_run_that_counts() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    for (name, threads) in [("a", "threads = 2"), ("b", "threads = 3"), ("c", "threads = 4")] {
        FakeRun { options: threads, ..RUN }.write(&runs.join(name));
    }
    // Of the first two, losses are lost: the third counts.
    for (name, rows) in [("a", 21), ("b", 41)] {
        let losses = fs::read_to_string(runs.join(name).join("losses.csv")).unwrap();
        let kept: Vec<_> = losses.lines().take(rows).collect();
        fs::write(runs.join(name).join("losses.csv"), kept.join("\n") + "\n").unwrap();
    }
    let document = report(directory.path());
    let left_out = document["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 2, "{document}");
    assert!(left_out.iter().all(|copy| copy.as_str().unwrap().ends_with("/c")), "{document}");
}

#[test]
fn a_damaged_run_does_not_hide_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    RUN.write(&runs.join("good"));
    for (name, file, content) in [
        ("config", "config.toml", "no toml"),
        ("wrong", "config.toml", "steps = \"many\""),
        ("empty", "config.toml", ""),
        ("losses", "losses.csv", "a,b\n1,2\n"),
        ("number", "losses.csv", "step,loss,unclipped_loss,limit,clipped,learning_rate\n0,1,x,,0,1\n"),
        ("summary", "summary.json", "{"),
    ] {
        FakeRun { seed: 9, ..RUN }.write(&runs.join(name));
        fs::write(runs.join(name).join(file), content).unwrap();
    }
    let document = report(directory.path());
    assert_eq!(document["groups"][0]["repeats"], 1);
    let left_out: Vec<_> =
        document["left_out"].as_array().unwrap().iter().map(|problem| problem.as_str().unwrap()).collect();
    for name in ["config", "wrong", "empty", "losses", "number", "summary"] {
        assert!(
            left_out.iter().any(|problem| problem.contains(&format!("/{name}/"))),
            "{name}: {left_out:?}"
        );
    }
    assert!(page(directory.path()).contains("Left out"));
}

/// The page and the table have the same columns of figures; some of them the page sets below others.
#[test]
fn page_and_table_show_the_same_figures() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    for (seed, last) in [(0, 5.0), (1, 5.2), (2, 4.8)] {
        FakeRun { seed, last, ..RUN }.write(&runs.join(format!("off-{seed}")));
        let clipped = FakeRun { seed, last: last - 1.0, num_stddev: Some(3.0), ..RUN };
        clipped.write(&runs.join(format!("clipped-{seed}")));
    }
    report(directory.path());
    let page = page(directory.path());
    let table = fs::read_to_string(directory.path().join("runs-report/table.md")).unwrap();
    let figures: Vec<Vec<&str>> =
        table.lines().map(|line| line.trim_matches(['|', ' ']).split(" | ").skip(4).collect()).collect();
    let heading = |name: &str| figures[0].iter().position(|heading| *heading == name).unwrap();
    let details = [heading("std. dev."), heading("95 % interval")];
    for (column, name) in figures[0].iter().enumerate().filter(|(column, _)| !details.contains(column)) {
        assert!(page.contains(&format!("<th scope=\"col\">{name}</th>")), "{name}");
        let cell = figures[3][column].replace('-', "−").replace('<', "&lt;");
        let tag = if column == 0 { "<th scope=\"row\">" } else { "<td>" };
        assert!(page.contains(&format!("{tag}{cell}<")), "{name}: {cell}");
    }
    for (column, sign) in details.into_iter().zip(["±\u{a0}", ""]) {
        let cell = figures[3][column].replace('-', "−");
        assert!(page.contains(&format!("<small>{sign}{cell}</small>")), "{cell}");
    }
}

/// By size, and not letter by letter.
#[test]
fn settings_are_in_the_order_of_their_numbers() {
    let directory = tempfile::tempdir().unwrap();
    // The starting parameters are in some configurations alone.
    for (steps, options) in [(1000, ""), (200, ""), (200, "init = \"a\""), (90, "init = \"a\""), (90, "")] {
        let name = format!("runs/{steps}-{}", options.len());
        FakeRun { steps, options, ..RUN }.write(&directory.path().join(name));
    }
    let document = report(directory.path());
    let others = document["groups"].as_array().unwrap().iter().map(|group| group["other_settings"].as_str());
    assert_eq!(
        others.collect::<Option<Vec<_>>>().unwrap(),
        ["init , steps 90", "init , steps 200", "init , steps 1000", "init a, steps 90", "init a, steps 200"]
    );
}

/// What file names cannot hold is replaced, and yet every setting has its plots.
#[test]
fn plots_of_settings_with_like_names_are_kept_apart() {
    let directory = tempfile::tempdir().unwrap();
    let data = ["da_x", "da-x", "da x", "da-x-2"];
    for (seed, data) in (0..).zip(data) {
        let options = format!("data = \"{data}\"");
        FakeRun { seed, options: &options, ..RUN }.write(&directory.path().join("runs").join(data));
    }
    let document = report(directory.path());
    let files: Vec<_> = document["files"].as_array().unwrap().iter().map(Value::as_str).collect();
    let distinct: HashSet<_> = files.iter().collect();
    assert!(distinct.len() == files.len() && files.len() == 3 + 2 * data.len(), "{files:?}");
}

#[test]
fn names_are_escaped() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    FakeRun { options: "data = \"<b>&.tar.gz\"", ..RUN }.write(&runs.join("<i>one"));
    FakeRun { options: "data = \"other\"", ..RUN }.write(&runs.join("two"));
    report(directory.path());
    let page = page(directory.path());
    assert!(page.contains("&lt;i&gt;one") && page.contains("&lt;b&gt;&amp;.tar.gz"));
    assert!(!page.contains("<i>") && !page.contains("<b>"));
}

#[test]
fn long_runs_make_small_files() {
    let directory = tempfile::tempdir().unwrap();
    for seed in 0..5 {
        let run = FakeRun { seed, steps: 100_000, num_stddev: Some(2.0), ..RUN };
        run.write(&directory.path().join(format!("runs/{seed}")));
    }
    report(directory.path());
    assert!(page(directory.path()).len() < 200_000, "{}", page(directory.path()).len());
}

/// Whatever directory is named, and however, nothing is written into it; and a report is not read as a run.
#[test]
fn a_report_lies_beside_what_it_reads() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("runs/one");
    RUN.write(&inner);
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names(&inner);
    for (from, argument, report) in [
        (directory.path(), "runs", "runs-report"),
        (directory.path(), "runs/one/", "runs/one-report"),
        (&directory.path().join("runs"), ".", "runs-report"),
        (&inner, "..", "runs-report"),
    ] {
        let output = alrc_train(from, &["report", argument]).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && told.contains(&format!("{report}/report.html")), "{told}");
        let page = directory.path().join(report).join("report.html");
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains("1 run of 1 setting"), "{argument}: {text}");
        assert_eq!(names(&inner), before, "{argument}");
        fs::remove_dir_all(page.parent().unwrap()).unwrap();
    }
    let root = directory.path().to_str().unwrap();
    let arguments = ["report", root, "--out", "runs/one"];
    assert_fails(alrc_train(directory.path(), &arguments), 2, &["runs/one", "--out", "is a run"]);
    assert_eq!(names(&inner), before);
}

#[test]
fn reports_at_the_same_time_do_not_disturb_each_other() {
    let directory = tempfile::tempdir().unwrap();
    RUN.write(&directory.path().join("runs/a"));
    let report = || {
        let mut command = process(directory.path());
        command.args(["report", "runs"]).stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    for mut child in [report(), report(), report(), report()] {
        assert!(child.wait().unwrap().success());
    }
    assert!(page(directory.path()).ends_with("</html>"));
}

#[test]
fn directories_without_runs_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("empty")).unwrap();
    for index in 0..9 {
        let run = directory.path().join(format!("broken/{index}"));
        RUN.write(&run);
        fs::write(run.join("config.toml"), "steps = -1").unwrap();
    }
    for (arguments, parts) in [
        (&["report", "broken"][..], &["broken/0", "broken/2", "and 6 more"][..]),
        (&["report", "empty"][..], &["empty", "config.toml", "losses.csv"][..]),
        (&["report", "absent"], &["absent", "directories of runs"]),
        (&["report"], &["DIR"]),
    ] {
        assert_fails(alrc_train(directory.path(), arguments), 2, parts);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "something was written");
}

/// Data sets may have the same name, and a run may start from another one's parameters.
#[test]
fn runs_on_other_images_or_from_other_parameters_are_no_repeats() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, seed: u64, options: &str, images: u32| {
        FakeRun { options, seed, images, ..RUN }.write(&directory.path().join("runs").join(name));
    };
    let repeats = |directory: &Path| -> Vec<u64> {
        let document = report(directory);
        let groups = document["groups"].as_array().unwrap().iter();
        let mut repeats: Vec<_> = groups.map(|group| group["repeats"].as_u64().unwrap()).collect();
        repeats.sort_unstable();
        repeats
    };
    write("a", 0, "data = '/here/cifar'", 1);
    write("b", 1, "data = '/there/cifar'", 1);
    assert_eq!(repeats(directory.path()), [2]);
    write("c", 1, "data = '/elsewhere/cifar'", 2);
    assert_eq!(repeats(directory.path()), [1, 2]);
    assert!(page(directory.path()).contains("cifar (CRC-32 00000002)"));
    write("d", 2, "data = '/here/cifar'\ninit = 'pretrained'", 1);
    assert_eq!(repeats(directory.path()), [1, 1, 2]);
    // Images that are made up belong to the seed.
    for seed in 0..3 {
        write(&format!("builtin-{seed}"), seed, "data = 'builtin'", seed as u32);
    }
    assert_eq!(repeats(directory.path()), [1, 1, 2, 3]);
}
