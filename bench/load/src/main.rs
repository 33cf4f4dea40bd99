//! The load generator for push: opens many WebSockets or server-sent event streams on one thread and counts what
//! arrives. `bin/bench` runs it beside the server, on a core of its own. Other modes: `soak`, and `bare`, which is the
//! server's side without a server.

mod bare;
mod clock;
mod connection;
mod load;
mod options;
mod outcome;
mod publisher;
mod soak;
mod wire;

use load::Load;
use options::{Options, USAGE};
use std::process::ExitCode;
use std::time::Duration;

/// A run is bounded, whatever it is asked for.
const RUN_MAX: f64 = 600.0;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|mode| mode == "soak").is_some() {
        return soak::main(arguments);
    }
    if arguments.next_if(|mode| mode == "bare").is_some() {
        return ended(bare::run(arguments));
    }
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("volador-load: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    ended(serve(options))
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("volador-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> Result<(), String> {
    let mut load = Load::open(options)?;
    println!("ready");
    while let Some(command) = load.command()? {
        let seconds = command.strip_prefix("run ").and_then(|seconds| seconds.parse::<f64>().ok());
        match seconds {
            Some(seconds) if seconds > 0.0 && seconds <= RUN_MAX => {
                println!("{}", load.run(Duration::from_secs_f64(seconds))?);
            }
            _ => return Err(format!("{command}: the only command is: run SECONDS (up to {RUN_MAX})")),
        }
    }
    Ok(())
}
