//! Archives of tar that gzip has compressed.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use tar::Archive;

/// The archive in `file`, whose entries come to an end only with the last byte of it, or with an error: tar's own end
/// lies before gzip's checksum, and before anything that was appended.
pub(super) fn open<R: Read>(file: R) -> Archive<MultiGzDecoder<R>> {
    let mut archive = Archive::new(MultiGzDecoder::new(file));
    archive.set_ignore_zeros(true);
    archive
}
