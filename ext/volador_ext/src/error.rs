//! Ruby's exception classes, and panics as exceptions.

use magnus::{Error, ExceptionClass, RModule, RString, Ruby, Value, error::ErrorType, prelude::*, value::Lazy};
use volador_gateway::GatewayError;
use volador_link::log;
use volador_worker::WriteError;

static ERROR: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "Error"));
static CONFIGURATION: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "ConfigurationError"));
static RESPONSE: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "ResponseError"));
static CLIENT_GONE: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "ClientGone"));

/// Looks the classes up, which `lib/volador/error.rb` defines.
pub(crate) fn init(ruby: &Ruby, volador: RModule) -> Result<(), Error> {
    for name in ["Error", "ConfigurationError", "ResponseError", "ClientGone"] {
        volador.const_get::<_, ExceptionClass>(name).map_err(|_| {
            let message = format!("Volador::{name} is not defined: require \"volador\", not its extension");
            Error::new(ruby.exception_load_error(), message)
        })?;
    }
    [&ERROR, &CONFIGURATION, &RESPONSE, &CLIENT_GONE].into_iter().for_each(|class| Lazy::force(class, ruby));
    Ok(())
}

fn class(ruby: &Ruby, name: &str) -> ExceptionClass {
    let class = ruby.class_object().const_get::<_, RModule>("Volador").and_then(|volador| volador.const_get(name));
    // Not reached: `init` has made sure of them.
    class.unwrap_or_else(|_| ruby.exception_standard_error())
}

/// `Volador::Error`.
pub(crate) fn volador(ruby: &Ruby, message: impl Into<String>) -> Error {
    Error::new(ruby.get_inner(&ERROR), message.into())
}

/// `Volador::ConfigurationError`.
pub(crate) fn configuration(ruby: &Ruby, message: impl Into<String>) -> Error {
    Error::new(ruby.get_inner(&CONFIGURATION), message.into())
}

/// `Volador::ResponseError`.
pub(crate) fn response(ruby: &Ruby, message: impl Into<String>) -> Error {
    Error::new(ruby.get_inner(&RESPONSE), message.into())
}

/// What a failed write of a streamed response raises.
pub(crate) fn write(ruby: &Ruby, error: &WriteError) -> Error {
    match error {
        WriteError::Gone => Error::new(ruby.get_inner(&CLIENT_GONE), error.to_string()),
        WriteError::Spool(source) => io(ruby, source, error.to_string()),
        _ => volador(ruby, error.to_string()),
    }
}

/// What a gateway that can't start raises.
pub(crate) fn gateway(ruby: &Ruby, error: &GatewayError) -> Error {
    match error {
        GatewayError::BadAddress { .. } | GatewayError::BadPattern { .. } => configuration(ruby, error.to_string()),
        GatewayError::Bind { address, source } => io(ruby, source, format!("can't listen on {address}")),
        GatewayError::Start(source) => io(ruby, source, "can't start a gateway thread".to_owned()),
        _ => volador(ruby, error.to_string()),
    }
}

/// The `Errno` class of a system error, which Ruby puts its own description in front of; `Volador::Error` for others (a
/// host name that is not known, for instance).
pub(crate) fn io(ruby: &Ruby, error: &std::io::Error, message: String) -> Error {
    let Some(errno) = error.raw_os_error() else { return volador(ruby, format!("{message}: {error}")) };
    let class = ruby.exception_system_call_error();
    match class.new_instance((message, errno)) {
        Ok(exception) => exception.into(),
        Err(raised) => raised,
    }
}

/// A value of the application as a message names it: by its class. Its `inspect` might raise, or end the thread, and what is
/// raised while a message is made would be lost.
pub(crate) fn class_of(value: Value) -> String {
    // SAFETY: nothing runs before the name is copied.
    unsafe { value.classname() }.into_owned()
}

/// A String of the application as a message shows it: quoted, without its own `inspect`.
pub(crate) fn quoted(string: RString) -> String {
    // SAFETY: nothing but Rust runs while the slice is in use.
    format!("{:?}", String::from_utf8_lossy(unsafe { string.as_slice() }))
}

/// Runs the body of a method. A panic becomes a `Volador::Error`: one faulty request must not end the process, which a
/// panic that reaches Ruby does (as an exception that can't be rescued). The exception of an error is made in here.
pub(crate) fn guarded<R>(ruby: &Ruby, body: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    // Unwind safety: what a panic may leave half done is the seat's current request. Its answer is missing then, or
    // cut off at the next take.
    let result = log::catch(body).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("no message");
        Err(volador(ruby, format!("internal error in Volador, please report it: {text}")))
    });
    result.map_err(made)
}

/// An error with its exception. Magnus makes that where it raises it, and can't go on when an interrupt comes meanwhile: a
/// Thread#kill or a Timeout would end the process. Here the interrupt takes its place.
fn made(error: Error) -> Error {
    let ErrorType::Error(class, message) = error.error_type() else { return error };
    match class.new_instance((message.as_ref(),)) {
        Ok(exception) => exception.into(),
        Err(raised) => raised,
    }
}
