//! The `netguard` program: daemon and command line in one.

use std::process::ExitCode;

fn main() -> ExitCode {
    netguard::cli::main()
}
