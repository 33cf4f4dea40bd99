//! Who waits for the line of a panic. The file and the hook are the process's: the second test has a process of its own.

use std::{
    env,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::fs::OFlags;
use volador_link::log;

#[test]
fn nobody_waits_for_the_line_of_a_panic_that_is_caught() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("caught-{}.fifo", std::process::id()));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let mut fifo = File::options().read(true).write(true).custom_flags(no_wait).open(&path).unwrap();
    log::append_to(&path).unwrap();
    fs::remove_file(&path).unwrap();
    log::report_panics();
    while fifo.write(&[b'\n'; 4096]).is_ok() {}

    let begun = Instant::now();
    for number in 0..20 {
        log::catch(|| panic!("number {number}")).unwrap_err();
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());

    let (mut read, mut bytes) = (String::new(), [0; 4096]);
    let deadline = Instant::now() + Duration::from_secs(20);
    // Those of one place have five entries.
    while !read.contains("number 4") {
        assert!(Instant::now() < deadline, "{}", read.trim());
        match fifo.read(&mut bytes) {
            Ok(len) => read.push_str(&String::from_utf8_lossy(&bytes[..len])),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn a_panic_that_ends_the_process_has_its_line() {
    struct Bad;

    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }

    const NAME: &str = "a_panic_that_ends_the_process_has_its_line";
    if env::var_os("VOLADOR_PANICS").is_some() {
        log::report_panics();
        let _ = log::catch(|| {
            let _bad = Bad;
            panic!("before that");
        });
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    let output = child.args(["--exact", NAME, "--nocapture"]).env("VOLADOR_PANICS", "1").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(printed.contains("before that") && printed.contains("in a destructor"), "{printed}");
}
