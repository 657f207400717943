//! `alrc-train data`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::json;

use super::options::{whole, within};
use super::{Failure, counted};
use crate::data::fetch::{self, URL};
use crate::data::preview::contact_sheet;
use crate::data::verify::{ArchiveId, Checksum, Evidence, PUBLISHED, Verified, parse_checksum, verify};
use crate::data::{BUILTIN, load};
use crate::experiment::files::save;
use crate::experiment::run::RunError;
use crate::record::progress::Download;
use crate::record::samples::Sheet;

/// Name of the folder in the published archive, and of that into which it is fetched.
const DIRECTORY: &str = "cifar-10-batches-bin";

/// Download, check and look at the images of CIFAR-10.
#[derive(Debug, Args)]
pub(super) struct Data {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fetch(Fetch),
    Verify(Verify),
    Preview(Preview),
}

impl Data {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Fetch(command) => command.execute(),
            Command::Verify(command) => command.execute(),
            Command::Preview(command) => command.execute(),
        }
    }
}

/// Download and unpack a data set, CIFAR-10 unless told otherwise.
///
/// The archive (162 MiB) is checked by its size and SHA-256 and unpacked; the directory appears whole or not at all.
/// What an interrupted download has left is used again. Proxies are taken from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
/// NO_PROXY.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train data fetch
  alrc-train data fetch --url https://mirror.example/cifar-10-binary.tar.gz --out data/cifar10")]
struct Fetch {
    /// Where the archive is; several times for mirrors, which are tried in turn
    #[arg(long, value_name = "URL", default_value = URL, value_parser = url)]
    url: Vec<String>,
    /// Directory for the images
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    out: PathBuf,
    /// SHA-256 of an archive that is not the published one; together with --size
    #[arg(long, value_name = "HEX", requires = "size", value_parser = checksum)]
    sha256: Option<Checksum>,
    /// Bytes of an archive that is not the published one; together with --sha256
    #[arg(long, value_name = "BYTES", requires = "sha256", value_parser = whole::<u64>("a number of bytes"))]
    size: Option<u64>,
    /// Seconds without a byte after which a server is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 30, allow_negative_numbers = true,
        value_parser = within(1..=86_400))]
    timeout: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The data set that is looked at, with or without the name of the option that `run` has for it.
#[derive(Debug, Args)]
struct Source {
    /// The data set: `builtin` (made up; for preview), a directory with data_batch_*.bin, a .tar.gz of them, or one such
    /// file
    #[arg(value_name = "builtin|DIR|FILE", default_value = DIRECTORY)]
    place: String,
    #[arg(long, value_name = "builtin|DIR|FILE", conflicts_with = "place", help = format!("The same, as `run` takes it [default: {DIRECTORY}]"))]
    data: Option<String>,
}

impl Source {
    fn name(&self) -> &str {
        self.data.as_deref().unwrap_or(&self.place)
    }
}

fn url(text: &str) -> Result<String, &'static str> {
    let is_usable = fetch::is_usable(text);
    is_usable.then(|| text.to_owned()).ok_or("permitted: the address of a file, with http:// or https://")
}

fn checksum(text: &str) -> Result<Checksum, &'static str> {
    parse_checksum(text).ok_or("permitted: 64 hexadecimal digits")
}

impl Fetch {
    fn execute(self) -> Result<ExitCode, Failure> {
        let archive = match (self.size, self.sha256) {
            (Some(size), Some(sha256)) => ArchiveId { size, sha256 },
            _ => PUBLISHED,
        };
        let mut progress = Download::new("download", archive.size);
        let timeout = Duration::from_secs(self.timeout);
        let fetched = fetch::fetch(archive, &self.url, &self.out, timeout, &mut |len| progress.at(len));
        progress.finish();
        print(&self.out, &fetched?, self.json)
    }
}

/// Check that a data set is whole.
///
/// Every file must have the form of CIFAR-10's binary version. A directory that `data fetch` made holds checksums, and
/// those are compared; an archive is compared with the published one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train data verify
  alrc-train data verify cifar-10-binary.tar.gz --json")]
struct Verify {
    #[command(flatten)]
    source: Source,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Verify {
    fn execute(self) -> Result<ExitCode, Failure> {
        let data = self.source.name();
        if data == BUILTIN {
            let problem =
                "these images are made up anew whenever they are needed; there is nothing to verify";
            let argument = if self.source.data.is_some() { "--data" } else { "DIR|FILE" };
            return Err(Failure::Usage(format!("invalid value '{BUILTIN}' for '{argument}': {problem}")));
        }
        let data = Path::new(data);
        print(data, &verify(data)?, self.json)
    }
}

/// Prints what is there.
fn print(path: &Path, verified: &Verified, json: bool) -> Result<ExitCode, Failure> {
    if json {
        let document = json!({ "data": path, "evidence": verified.evidence, "files": verified.files });
        say!("{}", serde_json::to_string_pretty(&document)?)?;
    } else {
        for file in &verified.files {
            let images = counted(file.images as u64, "image", "images");
            say!("{}  {}, {images}", file.sha256, file.name)?;
        }
        let evidence = match verified.evidence {
            Evidence::Published => "the published archive",
            Evidence::Recorded => "as it was when it was fetched",
            Evidence::Form => "of the right form; no checksum to compare with",
        };
        say!("{}: {evidence}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Draw a contact sheet of images.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train data preview builtin
  alrc-train data preview --data cifar-10-binary.tar.gz --images 400 --out cifar10.png")]
struct Preview {
    #[command(flatten)]
    source: Source,
    /// Most images, evenly spaced over the data set
    #[arg(long, value_name = "NUMBER", default_value_t = 100, allow_negative_numbers = true,
        value_parser = within(1..=10_000))]
    images: u64,
    /// The picture
    #[arg(long, value_name = "FILE.png", default_value = "preview.png", value_parser = picture())]
    out: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Takes the path of a picture.
fn picture() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        if is_png { Ok(path) } else { Err("permitted: a file whose name ends in .png") }
    })
}

impl Preview {
    fn execute(self) -> Result<ExitCode, Failure> {
        let data = self.source.name();
        let dataset = load(data, 0).map_err(RunError::from)?;
        let unwritable = |source| RunError::Unwritable { path: self.out.clone(), source };
        let sheet = Sheet::new(&contact_sheet(&dataset, self.images as usize));
        let sheet = sheet.map_err(io::Error::other).map_err(unwritable)?;
        if let Some(directory) = self.out.parent() {
            std::fs::create_dir_all(directory).map_err(unwritable)?;
        }
        save(&self.out, &sheet.png)?;
        if self.json {
            let document = json!({
                "data": data,
                "images": dataset.records.len(),
                "picture": self.out,
                "width": sheet.width,
                "height": sheet.height,
            });
            say!("{}", serde_json::to_string_pretty(&document)?)?;
        } else {
            let images = counted(dataset.records.len() as u64, "image", "images");
            say!("{data}: {images}; picture: {}", self.out.display())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
