//! The shaders' templates.
//!
//! wgpu guards every loop of a shader against running forever. With the guard in it, drivers do not unroll a loop, and
//! an array that a loop indexes lies in memory instead of registers: a loop of a fixed, small count costs ten times what
//! it should. WGSL has no word for unrolling; so what stands between the lines
//!
//! ```text
//! // unroll NAME: COUNT
//! // end NAME
//! ```
//!
//! is repeated, with `$NAME` being 0, 1 and so on up to `COUNT - 1`. `COUNT` is a number or the name of a constant. Of
//! repetitions within one another, no name may begin with another's.

use std::fmt::Write;

/// A constant of a template: its name and its value in WGSL.
pub(super) type Constant = (&'static str, String);

/// WGSL from `template`: `constants`, then its text with the repetitions written out.
pub(super) fn expand(template: &str, constants: &[Constant]) -> String {
    let mut source = String::new();
    for (name, value) in constants {
        // Writing to a string cannot fail.
        _ = writeln!(source, "const {name} = {value};");
    }
    source + &unroll(template, constants)
}

fn unroll(template: &str, constants: &[Constant]) -> String {
    let (mut unrolled, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("// unroll ") {
        let (header, after) = after.split_once('\n').expect("a line of its own");
        let (name, count) = header.split_once(": ").expect("a name and a count");
        let (body, after) = after.split_once(&format!("// end {name}\n")).expect("an end");
        let body = unroll(body, constants);
        unrolled += before;
        for number in 0..value_of(count, constants) {
            unrolled += &body.replace(&format!("${name}"), &number.to_string());
        }
        rest = after;
    }
    unrolled + rest
}

fn value_of(count: &str, constants: &[Constant]) -> usize {
    let named = constants.iter().find(|(name, _)| *name == count);
    let value = named.map_or(count, |(_, value)| value.trim_end_matches('u'));
    value.parse().expect("a number or the name of one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_written_out() {
        let template = "a\n// unroll i: N\n// unroll j: 3\nx$i += $j;\n// end j\ny$i;\n// end i\nb\n";
        let expected =
            "const N = 2u;\na\nx0 += 0;\nx0 += 1;\nx0 += 2;\ny0;\nx1 += 0;\nx1 += 1;\nx1 += 2;\ny1;\nb\n";
        assert_eq!(expand(template, &[("N", "2u".to_owned())]), expected);
    }
}
