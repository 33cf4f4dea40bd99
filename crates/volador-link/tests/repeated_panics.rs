//! Panics that come again and again. The log's file and the hook are the process's: each test has a process of its own.

use std::{env, fs, panic::catch_unwind, path::Path, process::Command};

use volador_link::log;

/// One place of the code.
fn here(number: usize) {
    panic!("number {number}");
}

fn panic_often() {
    for number in 1..=30 {
        catch_unwind(|| here(number)).unwrap_err();
    }
}

/// What this process, begun again for this test, has in its log by its end.
fn log_of(test: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}.log", std::process::id()));
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env("VOLADOR_TEST_LOG", &path);
    child.output().unwrap();
    let written = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    written
}

/// In the process that was begun again.
fn is_child() -> bool {
    let Some(path) = env::var_os("VOLADOR_TEST_LOG") else { return false };
    log::append_to(Path::new(&path)).unwrap();
    log::report_panics();
    true
}

#[test]
fn a_panic_has_five_entries_in_a_minute_and_does_not_hide_one_at_another_place() {
    if is_child() {
        panic_often();
        catch_unwind(|| panic!("elsewhere")).unwrap_err();
        return log::flush(log::LAST_LINES);
    }
    let log = log_of("a_panic_has_five_entries_in_a_minute_and_does_not_hide_one_at_another_place");
    assert_eq!(log.matches("volador WARN: internal error").count(), 6, "{log}");
    for number in 1..=5 {
        assert!(log.contains(&format!("\tnumber {number}")), "{log}");
    }
    assert!(log.contains("\tnumber 5. More like this are counted for a minute\n"), "{log}");
    assert!(log.contains("\telsewhere\n"), "{log}");
}

#[test]
fn a_panic_that_ends_the_process_has_its_entry() {
    struct Bad;

    impl Drop for Bad {
        fn drop(&mut self) {
            here(31);
        }
    }

    if is_child() {
        panic_often();
        let _ = catch_unwind(|| {
            let _bad = Bad;
            panic!("before that");
        });
        unreachable!("the process has ended");
    }
    let log = log_of("a_panic_that_ends_the_process_has_its_entry");
    let (often, last) = log.split_once("\tbefore that\n").unwrap();
    assert_eq!(often.matches("\tnumber ").count(), 5, "{log}");
    // The standard library's: its reason to end the process.
    assert!(last.contains("volador WARN: internal error"), "{log}");
}
