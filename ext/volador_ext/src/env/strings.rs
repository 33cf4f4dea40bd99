//! The keys of an env, and values that there are few of: frozen strings that are made once.

use magnus::{RString, Ruby, value::Lazy};

use crate::header_names::interned;

macro_rules! strings {
    ($($name:ident = $text:literal;)+) => {
        $(pub(super) static $name: Lazy<RString> = Lazy::new(|ruby| constant(ruby, $text));)+

        /// Makes them; the extension is being loaded.
        pub(super) fn force(ruby: &Ruby) {
            $(Lazy::force(&$name, ruby);)+
        }
    };
}

strings! {
    REQUEST_METHOD = "REQUEST_METHOD";
    PATH_INFO = "PATH_INFO";
    QUERY_STRING = "QUERY_STRING";
    REQUEST_PATH = "REQUEST_PATH";
    REQUEST_URI = "REQUEST_URI";
    SERVER_NAME = "SERVER_NAME";
    SERVER_PORT = "SERVER_PORT";
    SERVER_PROTOCOL = "SERVER_PROTOCOL";
    HTTP_VERSION = "HTTP_VERSION";
    HTTP_HOST = "HTTP_HOST";
    REMOTE_ADDR = "REMOTE_ADDR";
    RACK_URL_SCHEME = "rack.url_scheme";
    RACK_INPUT = "rack.input";
    RACK_HIJACK = "rack.hijack";
    RACK_PROTOCOL = "rack.protocol";
    RACK_RESPONSE_FINISHED = "rack.response_finished";
    GET = "GET";
    HEAD = "HEAD";
    POST = "POST";
    PUT = "PUT";
    PATCH = "PATCH";
    DELETE = "DELETE";
    OPTIONS = "OPTIONS";
    HTTP_10 = "HTTP/1.0";
    HTTP_11 = "HTTP/1.1";
    SCHEME_HTTP = "http";
    SCHEME_HTTPS = "https";
    EMPTY = "";
}

fn constant(ruby: &Ruby, text: &str) -> RString {
    interned(ruby, text.as_bytes()).unwrap_or_else(|_| ruby.str_new(text))
}
