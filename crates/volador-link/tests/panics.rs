//! What a panic says in the log. The file and the hook are the process's: this file has nothing else.

use std::{fs, path::Path, thread};

use volador_link::log;

#[test]
fn a_panics_message_is_an_entry_of_the_log_file_whose_further_lines_are_indented() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("panics-{}.log", std::process::id()));
    log::append_to(&path).unwrap();
    log::report_panics();
    let thread = thread::Builder::new().name("volador-shard-0".into());
    let panics: fn() = || panic!("two\nlines");
    thread.spawn(panics).unwrap().join().unwrap_err();
    log::flush(log::LAST_LINES);
    let written = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut lines = written.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with("volador WARN: internal error in Volador, please report it: volador-shard-0 panicked at "),
        "{written}"
    );
    assert_eq!((lines.next(), lines.next()), (Some("\ttwo"), Some("\tlines")));
    assert!(lines.all(|line| line.starts_with('\t')), "{written}");
}
