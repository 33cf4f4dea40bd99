//! A log file that is a FIFO. The file is the process's: this one has nothing else.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, fcntl_setfl},
    io::ioctl_fionread,
};
use volador_link::log;

const DEADLINE: Duration = Duration::from_secs(20);

fn fifo(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{name}-{}.fifo", std::process::id()));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn a_fifo_that_nobody_reads_is_an_error_and_not_a_wait() {
    let path = fifo("unread");
    let (sender, opened) = mpsc::channel();
    let fifo = path.clone();
    thread::spawn(move || sender.send(log::append_to(&fifo)));
    let opened = opened.recv_timeout(Duration::from_secs(10));
    fs::remove_file(&path).unwrap();
    opened.expect("it waits").unwrap_err();
}

#[test]
fn a_fifo_that_is_read_slowly_gets_every_line() {
    const LINES: usize = 200;
    let path = fifo("slow");
    let reader = File::from(rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap());
    log::append_to(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let padding = "x".repeat(1000);
    (0..LINES).for_each(|n| log::warn(format_args!("{n} {padding}")));
    // Until another line does not fit. Where the system is short of memory for pipes, that is sooner.
    let until = Instant::now() + DEADLINE;
    while ioctl_fionread(&reader).unwrap() < (64 << 10) - 1100 && Instant::now() < until {
        thread::yield_now();
    }
    fcntl_setfl(&reader, OFlags::empty()).unwrap();
    let (sender, read) = mpsc::channel();
    thread::spawn(move || BufReader::new(reader).lines().try_for_each(|line| sender.send(line.unwrap())));
    for n in 0..LINES {
        assert_eq!(read.recv_timeout(DEADLINE).expect("a line is missing"), format!("volador WARN: {n} {padding}"));
    }
}
