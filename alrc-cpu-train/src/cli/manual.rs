//! `alrc-train completions` and `alrc-train man`: made from the definitions of the arguments, so that they cannot
//! differ from them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;
use serde_json::json;

use super::options::directory;
use super::{Failure, print};
use crate::experiment::run::RunError;

/// Completions of a shell, for this program's commands and options.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train completions bash > ~/.local/share/bash-completion/completions/alrc-train
  alrc-train completions zsh > ~/.zfunc/_alrc-train
  alrc-train completions fish > ~/.config/fish/completions/alrc-train.fish")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Completions {
    pub(super) fn execute(self, mut program: Command) -> Result<ExitCode, Failure> {
        let name = program.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, name, &mut script);
        if self.json {
            let document =
                json!({ "shell": self.shell.to_string(), "script": String::from_utf8_lossy(&script) });
            say!("{}", serde_json::to_string_pretty(&document)?)?;
        } else {
            print(&script)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Manual pages: the one of the program on standard output, or one for every command in a directory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train man | man -l -
  alrc-train man --out ~/.local/share/man/man1")]
pub(super) struct Man {
    /// Directory for the pages, created if absent [default: none, one page is printed]
    #[arg(long, value_name = "DIR", value_parser = directory())]
    out: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Man {
    pub(super) fn execute(self, program: Command) -> Result<ExitCode, Failure> {
        // As the pages of a directory have it.
        let program = program.disable_help_subcommand(true);
        if let Some(out) = self.out {
            std::fs::create_dir_all(&out)
                .and_then(|()| clap_mangen::generate_to(program, &out))
                .map_err(|source| RunError::Unwritable { path: out.clone(), source })?;
            if self.json {
                say!("{}", serde_json::to_string_pretty(&json!({ "directory": out }))?)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(program).render(&mut page).map_err(Failure::Print)?;
        if self.json {
            let document = json!({ "page": String::from_utf8_lossy(&page) });
            say!("{}", serde_json::to_string_pretty(&document)?)?;
        } else {
            print(&page)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
