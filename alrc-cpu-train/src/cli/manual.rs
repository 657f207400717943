//! `alrc-train completions` and `alrc-train man`: made from the definitions of the arguments, so that they cannot
//! differ from them.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use super::Failure;

/// Completions of a shell, for this program's commands and options.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train completions bash > ~/.local/share/bash-completion/completions/alrc-train
  alrc-train completions zsh > ~/.zfunc/_alrc-train
  alrc-train completions fish > ~/.config/fish/completions/alrc-train.fish")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self, mut program: Command) -> Result<ExitCode, Failure> {
        let name = program.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, name, &mut script);
        print(&script)
    }
}

/// Manual pages: the one of the program on standard output, or one for every command in a directory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train man | man -l -
  alrc-train man --out ~/.local/share/man/man1")]
pub(super) struct Man {
    /// Directory for the pages, created if absent [default: none, one page is printed]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn execute(self, program: Command) -> Result<ExitCode, Failure> {
        // As the pages of a directory have it.
        let program = program.disable_help_subcommand(true);
        if let Some(out) = self.out {
            std::fs::create_dir_all(&out)
                .and_then(|()| clap_mangen::generate_to(program, &out))
                .map_err(Failure::Manual)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(program).render(&mut page).map_err(Failure::Manual)?;
        print(&page)
    }
}

/// Writes to standard output; a reader that has seen enough is no error.
fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    match io::Write::write_all(&mut io::stdout().lock(), text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Manual(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}
