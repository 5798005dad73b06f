//! The command line program; see `rtg --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rtg::cli::run()
}
