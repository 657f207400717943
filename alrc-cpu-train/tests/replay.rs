//! `alrc-train replay` as a user meets it: the formats it reads, what it finds in a curve, and what it refuses.

#[path = "common/program.rs"]
mod program;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use program::{alrc_train, assert_fails, assert_holds, directory, run};
use proptest::prelude::*;
use serde_json::Value;

/// The document of `replay FILE --json`, with more arguments.
#[track_caller]
fn replay(directory: &Path, file: &str, arguments: &[&str]) -> Value {
    let arguments = [&["replay", file, "--json"], arguments].concat();
    let output = alrc_train(directory, &arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The published rule in f64 on one loss a step: the steps that are clipped, and mu1 after the last one.
fn published(losses: &[f64], num_stddev: f64, decay: f64, start: (f64, f64)) -> (Vec<usize>, f64) {
    let (mut mu1, mut mu2) = start;
    let mut clipped = Vec::new();
    for (step, &loss) in losses.iter().enumerate() {
        let limit = mu1 + num_stddev * (mu2 - mu1 * mu1 + 1e-8).sqrt();
        if loss > limit {
            clipped.push(step);
        }
        let loss = loss.min(limit);
        mu1 = decay * mu1 + (1.0 - decay) * loss;
        mu2 = decay * mu2 + (1.0 - decay) * loss * loss;
    }
    (clipped, mu1)
}

/// The same losses in every format, with other columns beside them.
#[test]
fn every_format_holds_the_same_curve() {
    let directory = directory();
    let losses = [2.5, 1.5e1, 0.25, 1e-3, 7.0];
    let cases: [(&str, &str, &[&str]); 12] = [
        ("tensorboard.csv", "Wall time,Step,Value\n1700000000.5,{step},{loss}\n", &[]),
        ("lightning.csv", "epoch,lr,step,train_loss,val_loss\n0,,{step},{loss},\n0,0.1,{step},,3\n", &[]),
        ("own.csv", "step,loss,unclipped_loss,limit,clipped,learning_rate\n{step},1,{loss},,0,0.1\n", &[]),
        ("named.csv", "loss,\"my, own\"\n9,{loss}\n", &["--column", "my, own"]),
        ("quoted.csv", "\"step\",\"loss\"\n\"{step}\",\"{loss}\"\n", &[]),
        ("semicolons.txt", "step; loss\n{step}; {loss}\n", &[]),
        ("tabs.tsv", "step\tloss\n{step}\t{loss}\n", &[]),
        ("windows.csv", "\u{feff}step,loss\r\n{step},{loss}\r\n", &[]),
        ("single.txt", "{loss}\n", &[]),
        ("columns.txt", "  {step}   {loss}\n", &["--column", "2"]),
        ("comment.txt", "# numpy.savetxt\n# step loss\n{step} {loss}\n", &[]),
        ("lines.jsonl", "{\"step\": {step}, \"tags\": {\"loss\": [9]}, \"loss\": {loss}}\n", &[]),
    ];
    for (name, pattern, arguments) in cases {
        let mut lines = pattern.split_inclusive('\n');
        let mut text: String = lines.by_ref().take_while(|line| !line.contains("{loss}")).collect();
        let row: String = pattern.split_inclusive('\n').skip_while(|line| !line.contains("{loss}")).collect();
        for (step, loss) in losses.iter().enumerate() {
            text += &row.replace("{step}", &step.to_string()).replace("{loss}", &loss.to_string());
        }
        fs::write(directory.path().join(name), text).unwrap();
        let document = replay(directory.path(), name, &[arguments, &["--out", "out"]].concat());
        assert_eq!((&document["losses"], &document["largest"]), (&5.into(), &15.0.into()), "{name}");
        let empty_rows = if name == "lightning.csv" { 5 } else { 0 };
        assert_eq!(document["empty_rows"], empty_rows, "{name}");
        // Another loss, or another order of the losses, would give another mean.
        let expected = published(&losses, 3.0, 0.999, (25.0, 900.0)).1;
        let mu1 = document["trials"][0]["mu1"].as_f64().unwrap();
        assert!((mu1 - expected).abs() < 1e-5 * expected, "{name}: {mu1} is not {expected}");
    }
}

/// A run's own losses need no options.
#[test]
fn losses_of_a_run_are_replayed() {
    let directory = directory();
    run(directory.path(), &["--out", "out"]).assert().success();
    let document = replay(directory.path(), "out/losses.csv", &[]);
    assert_eq!((&document["column"], &document["losses"]), (&"unclipped_loss".into(), &12.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn clips_as_the_published_rule(
        losses in proptest::collection::vec(prop_oneof![8 => 0.5..4.0, 1 => 5.0..500.0], 1..400),
        num_stddev in 0.5..4.0_f32,
        decay in 0.5..0.99_f32,
    ) {
        let directory = directory();
        let text: String = losses.iter().map(|loss| format!("{loss}\n")).collect();
        fs::write(directory.path().join("log"), text).unwrap();
        let (n, beta) = (num_stddev.to_string(), decay.to_string());
        let options = ["--num-stddev", &n, "--decay", &beta, "--mu1-start", "2", "--mu2-start", "5", "--out", "out"];
        let document = replay(directory.path(), "log", &options);
        let (steps, mu1) = published(&losses, num_stddev.into(), decay.into(), (2.0, 5.0));
        let trial = &document["trials"][0];
        // Single precision may decide otherwise about a loss at the limit, but not about many.
        let clipped = trial["clipped"].as_u64().unwrap();
        prop_assert!(clipped.abs_diff(steps.len() as u64) <= 1, "{} {}", clipped, steps.len());
        let actual = trial["mu1"].as_f64().unwrap();
        prop_assert!((actual - mu1).abs() <= 1e-4 * mu1, "{} {}", actual, mu1);
        let csv = fs::read_to_string(directory.path().join("out/clipped.csv")).unwrap();
        let given = csv.lines().filter(|row| row.contains(",given,")).count() as u64;
        prop_assert_eq!(given, clipped);
    }
}

#[test]
fn clipped_losses_are_listed() {
    let directory = directory();
    fs::write(directory.path().join("log.csv"), "loss\n1\n100\n2\nnan\n50\n").unwrap();
    let options =
        ["--mu1-start", "1", "--mu2-start", "2", "--decay", "0.5", "--num-stddev", "2", "--out", "out"];
    let document = replay(directory.path(), "log.csv", &options);
    assert_eq!((&document["losses"], &document["non_finite"]), (&5.into(), &1.into()));
    let csv = fs::read_to_string(directory.path().join("out/clipped.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows[0], ["index", "num_stddev", "start", "loss", "limit", "scale"]);
    let given: Vec<_> = rows.iter().filter(|row| row[2] == "given").collect();
    // Mean 1 and variance 0.5 after the first loss: the limit is 1 + 2 sqrt(0.5).
    assert_eq!((given[0][0], given[0][3]), ("1", "100"));
    let limit = 1.0 + 2.0 * 0.5_f64.sqrt();
    for (text, expected) in [(given[0][4], limit), (given[0][5], limit / 100.0)] {
        assert!((text.parse::<f64>().unwrap() - expected).abs() < 1e-6, "{text} is not {expected}");
    }
    assert_eq!((given.len(), given[1][0]), (2, "4"));
    let picture = image::open(directory.path().join("out/replay.png")).unwrap().to_rgb8();
    let colors: std::collections::HashSet<_> = picture.pixels().map(|pixel| pixel.0).collect();
    for color in [[0, 114, 178], [213, 94, 0], [0, 158, 115]] {
        assert!(colors.contains(&color), "no line in {color:?}");
    }
    assert!(
        fs::read_to_string(directory.path().join("out/replay.svg")).unwrap().contains("limit, given start")
    );
}

/// The suggested start clips no more at the beginning than later; a far too high one clips nothing for long.
#[test]
fn the_suggested_start_fits_the_curve() {
    let directory = directory();
    let mut text = String::new();
    for step in 0..2000 {
        let spike = if step % 100 == 50 { 40.0 } else { 0.0 };
        writeln!(text, "{}", 4.0 + f64::from(step * 7919 % 101) / 101.0 + spike).unwrap();
    }
    fs::write(directory.path().join("log"), text).unwrap();
    let document = replay(directory.path(), "log", &["--decay", "0.99"]);
    let number = |name: &str| document["suggestion"][name].as_f64().unwrap();
    let (mu1, mu2) = (number("mu1_start"), number("mu2_start"));
    assert!((4.3..4.7).contains(&mu1) && mu2 > mu1 * mu1 && mu2 < mu1 * mu1 + 1.0, "{mu1} {mu2}");
    let trials = document["trials"].as_array().unwrap();
    assert_eq!((&trials[0]["is_suggested"], &trials[1]["is_suggested"]), (&false.into(), &true.into()));
    assert_eq!(trials[1]["clipped"], 20, "every spike, and nothing else");
    assert!(trials[0]["clipped"].as_u64() < trials[1]["clipped"].as_u64());
    // What is suggested is accepted.
    let (mu1, mu2) = (mu1.to_string(), mu2.to_string());
    let again =
        replay(directory.path(), "log", &["--decay", "0.99", "--mu1-start", &mu1, "--mu2-start", &mu2]);
    assert_eq!(again["trials"][0]["clipped"], 20);
}

/// A curve that falls at first is clipped there from a start that suits what follows; spikes may be anywhere.
#[test]
fn a_start_that_clips_the_fall_of_a_curve_says_so() {
    let directory = directory();
    let replay = |loss: &dyn Fn(u32) -> f64, arguments: &[&str]| {
        let text: String = (0..2000).map(|step| format!("{}\n", loss(step))).collect();
        fs::write(directory.path().join("log"), text).unwrap();
        let arguments = [&["replay", "log"], arguments].concat();
        String::from_utf8(alrc_train(directory.path(), &arguments).output().unwrap().stdout).unwrap()
    };
    let noise = |step: u32| f64::from(step * 7919 % 101) / 101.0;
    let falls = |step: u32| 4.0 + noise(step) + 60.0 * (-f64::from(step) / 12.0).exp();
    let told = replay(&falls, &[]);
    let parts = ["clipped losses are among the first 200", "falls there", "--warm-up 20"];
    assert_holds(&told, &parts);
    // As advised.
    let told = replay(&falls, &["--warm-up", "20"]);
    assert!(told.contains("| given: warm-up 20 | – | – | 0.000 % |"), "{told}");
    assert!(told.contains("the given warm-up lets it fall") && !told.contains("--warm-up 20"), "{told}");
    let hill = |step: u32| 4.0 + noise(step) + 60.0 * (-((f64::from(step) - 20.0) / 8.0).powi(2)).exp();
    let told = replay(&hill, &["--decay", "0.99", "--warm-up", "1"]);
    assert!(told.contains("a longer --warm-up may let it fall"), "{told}");
    let spikes = |step: u32| 4.0 + noise(step) + if step % 100 == 50 { 40.0 } else { 0.0 };
    let told = replay(&spikes, &[]);
    assert!(!told.contains("falls there") && !told.contains("it comes from only"), "{told}");
}

/// As in a run: the first steps pass, and make the moments from which clipping goes on.
#[test]
fn a_warm_up_takes_the_place_of_the_estimates() {
    let directory = directory();
    fs::write(directory.path().join("log"), "4\n6\n100\n90\n").unwrap();
    let options = ["--num-stddev", "1", "--decay", "0.5", "--out", "out", "--warm-up"];
    let document = replay(directory.path(), "log", &[&options[..], &["2"]].concat());
    let trials = document["trials"].as_array().unwrap();
    assert_eq!((&trials[0]["warm_up"], trials[0].get("mu1_start")), (&2.into(), None), "{document}");
    assert_eq!(trials[1]["warm_up"], 0);
    assert!(trials[1]["mu1_start"].is_number(), "{document}");
    let csv = fs::read_to_string(directory.path().join("out/clipped.csv")).unwrap();
    let given: Vec<Vec<&str>> =
        csv.lines().map(|row| row.split(',').collect()).filter(|row: &Vec<_>| row[2] == "given").collect();
    // Of 4 and 6 the mean is 5 and the standard deviation 1.
    assert_eq!((given.len(), given[0][0], given[0][3]), (2, "2", "100"), "{csv}");
    assert!((given[0][4].parse::<f64>().unwrap() - 6.0).abs() < 1e-5, "{csv}");

    let arguments = [&["replay", "log"], &options[..], &["9"]].concat();
    let output = alrc_train(directory.path(), &arguments).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("| 1 | given: warm-up 9 | – | – | 0.000 % |"), "{table}");
    // Still in its warm-up there is no limit.
    let document = replay(directory.path(), "log", &[&options[..], &["9"]].concat());
    assert!(document["trials"][0]["limit"].is_null(), "{document}");
}

#[test]
fn thresholds_are_compared() {
    let directory = directory();
    let text: String = (0..500).map(|step| format!("{}\n", 1 + step * 7919 % 101)).collect();
    fs::write(directory.path().join("log"), text).unwrap();
    let document = replay(directory.path(), "log", &["--num-stddev", "0.5,1,2"]);
    let clipped = |index: usize| document["trials"][index]["clipped"].as_u64().unwrap();
    assert_eq!(document["trials"].as_array().unwrap().len(), 6);
    assert!(clipped(1) > clipped(3) && clipped(3) > clipped(5), "{document}");
}

/// JSON has no NaN, but some programs write it.
#[test]
fn json_lines_may_hold_what_json_cannot() {
    let directory = directory();
    let lines = "{\"loss\": 1}\n\n{\"loss\": NaN}\n{\"loss\": -Infinity}\n{\"loss\": \"nan\"}\n\
                 {\"loss\": null}\n{\"other\": 3}\n{\"lo\\u0073s\": 2}\n";
    fs::write(directory.path().join("log"), lines).unwrap();
    let document = replay(directory.path(), "log", &[]);
    let counts = ["losses", "non_finite", "empty_rows"].map(|name| document[name].as_u64().unwrap());
    assert_eq!(counts, [5, 3, 2]);

    // As words in a string they mean nothing.
    let line =
        |loss| format!("{{\"net\": \"\\\"NaN-Infinity\\\\\", \"loss\": {loss}, \"next\": \"Infinity\"}}\n");
    fs::write(directory.path().join("log"), ["1.5", "NaN", "-Infinity"].map(line).concat()).unwrap();
    let document = replay(directory.path(), "log", &[]);
    assert_eq!((&document["losses"], &document["non_finite"]), (&3.into(), &2.into()));
}

#[test]
fn the_largest_loss_may_be_negative() {
    let directory = directory();
    fs::write(directory.path().join("log"), "-3\n-2\nnan\n-4\n").unwrap();
    assert_eq!(replay(directory.path(), "log", &[])["largest"], -2.0);
    let output = alrc_train(directory.path(), &["replay", "log"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let counts = "4 losses, 1 of them not finite, 0 rows without a value, 0 spikes, largest loss -2";
    assert!(text.lines().any(|line| line == counts), "{text}");
    assert!(text.contains("it comes from only 3 finite losses"), "{text}");
}

/// What is left of a curve that is mostly not finite, and of one no longer than its warm-up.
#[test]
fn a_curve_that_says_little_is_told() {
    let directory = directory();
    let replay = |log: &str, arguments: &[&str]| {
        fs::write(directory.path().join("log"), log).unwrap();
        let output =
            alrc_train(directory.path(), &[&["replay", "log"], arguments].concat()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (most, nothing) = ("most losses are not finite", "nothing could be clipped");
    let text = replay("1\n2\nnan\nnan\ninf\n", &[]);
    let parts = ["5 losses, 3 of them not finite", most, "comes from the 2 finite losses alone"];
    assert_holds(&text, &parts);
    assert!(!text.contains(nothing), "{text}");
    assert_holds(&replay("1\n2\nnan\n", &["--warm-up", "2"]), &[nothing, "warm-up of 2 steps"]);
    let text = replay("1\n2\nnan\n3\n", &["--warm-up", "2"]);
    assert!(!text.contains(most) && !text.contains(nothing), "{text}");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let directory = directory();
    let cases: [(&str, &[&str], &[&str]); 28] = [
        ("loss\nnan\nNaN\n1e300\n-inf\n", &[], &["column 'loss'", "(4 losses)", "nothing to clip"]),
        ("{\"loss\": [1, 2], \"step\": [0, 1]}\n", &[], &["not JSON lines", "each line"]),
        ("{\n  \"loss\": [\n    1,\n    2\n  ]\n}\n", &["--column", "loss"], &["not JSON lines"]),
        ("[{\"loss\": 1}, {\"loss\": NaN}]\n", &[], &["not JSON lines"]),
        ("[\n  {\"loss\": 1},\n  {\"loss\": 2}\n]\n", &["--column", "loss"], &["not JSON lines"]),
        ("[0.5, 1.5]\n", &[], &["not JSON lines"]),
        ("[12:00] loss: 1\n", &[], &["give --column", "[12:00], loss:, 1"]),
        ("s\0t\0e\0p\0", &[], &["no UTF-8 text", "UTF-16"]),
        ("loss\n\"1,5\"\n", &[], &["line 2", "'\"1,5\"' is not a number", "comma where a decimal point"]),
        ("step,loss\n0,\"1,5\"\n", &[], &["line 2", "'1,5' is not a number", "comma where a decimal point"]),
        ("step;loss\n0;-1,5e-3\n", &[], &["line 2", "comma where a decimal point"]),
        ("{\"loss\": 1}\n{\"loss\": \"1,5\"}\n", &[], &["line 2", "comma where a decimal point"]),
        (
            "1\n",
            &["--mu1-start", "100"],
            &["'900' for '--mu2-start'", "--mu1-start 100", "900 is the default"],
        ),
        ("1\n", &["--decay", "half"], &["'half' for '--decay", "at least 0 and below 1"]),
        ("1\n", &["--num-stddev", "many"], &["--num-stddev", "0 to 1e9", "2,3,4"]),
        ("1\n", &["--num-stddev", "2,-1"], &["'-1'", "0 to 1e9, or several"]),
        ("", &[], &["no rows"]),
        ("loss\n", &[], &["no rows"]),
        ("step,loss\n", &[], &["no rows"]),
        ("step,loss\n0,\n1,\n", &[], &["column 'loss' is empty", "2 rows", "--column"]),
        ("1\n", &["--num-stddev", "2,off"], &["--num-stddev", "nothing to replay", "2,3,4"]),
        ("a,b\n1,2\n", &[], &["give --column", "a, b"]),
        ("lossy,b\n1,2\n", &["--column", "loss"], &["no column 'loss'", "did you mean 'lossy'", "lossy, b"]),
        ("loss\n1\n2\nthree\n", &[], &["line 4", "'three' is not a number"]),
        ("1\n\n2x\n", &[], &["line 3", "'2x'"]),
        ("{\"loss\": 1}\n{\"loss\": [2]}\n", &[], &["line 2", "a number"]),
        ("{\"loss\": 1}\n{\"loss\":\n", &[], &["line 2"]),
        ("1\n", &["--num-stddev", "-1"], &["--num-stddev", "-1", "0 to 1e9"]),
    ];
    for (text, arguments, parts) in cases {
        fs::write(directory.path().join("log"), text).unwrap();
        let command = alrc_train(directory.path(), &[&["replay", "log"], arguments].concat());
        assert_fails(command, 2, parts);
    }
    fs::write(directory.path().join("log"), "loss\n1\n2\nx\n").unwrap();
    let broken = alrc_train(directory.path(), &["replay", "log", "--num-stddev", "0", "--out", "broken"]);
    assert_fails(broken, 2, &["log", "line 4"]);
    assert_eq!(fs::read_dir(directory.path().join("broken")).unwrap().count(), 0);
    let absent = alrc_train(directory.path(), &["replay", "absent.csv"]);
    assert_fails(absent, 2, &["absent.csv", "No such file"]);
    fs::write(directory.path().join("log"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    assert_fails(alrc_train(directory.path(), &["replay", "log"]), 2, &["log: ", "no UTF-8 text", "binary"]);
    fs::write(directory.path().join("log"), "1\n").unwrap();
    let unwritable = alrc_train(directory.path(), &["replay", "log", "--out", "log/out"]);
    assert_fails(unwritable, 1, &["cannot write", "clipped.csv"]);
}

/// Twenty million rows through a pipe, in less memory than their values would take.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_curve() {
    let program = assert_cmd::cargo::cargo_bin!("alrc-train");
    let script = format!(
        "ulimit -v 100000; (echo loss; yes 1.5 | head -20000000) | {} replay - --json",
        program.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["losses"], 20_000_000);
}
