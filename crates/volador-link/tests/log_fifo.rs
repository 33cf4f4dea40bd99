//! A log file that is a FIFO. The file is the process's: this one has nothing else.

use std::{fs, path::Path, process::Command, sync::mpsc, thread, time::Duration};

use volador_link::log;

#[test]
fn a_fifo_that_nobody_reads_is_an_error_and_not_a_wait() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{}.fifo", std::process::id()));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (sender, opened) = mpsc::channel();
    let fifo = path.clone();
    thread::spawn(move || sender.send(log::append_to(&fifo)));
    let opened = opened.recv_timeout(Duration::from_secs(10));
    fs::remove_file(&path).unwrap();
    opened.expect("it waits").unwrap_err();
}
