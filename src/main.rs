//! The binary; all code is in the library.

fn main() -> std::process::ExitCode {
    plantroom::cli::main()
}
