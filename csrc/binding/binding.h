/* What the files of the binding share: the module's state, its types, and the names that they use.
 *
 * Everything here needs the GIL. Nothing is global: the state lives in the module, and each object
 * points to it.
 */
#ifndef OPF_BINDING_BINDING_H
#define OPF_BINDING_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "opf.h"

/* Strings that are compared or looked up, interned once: STATE->names[NAME_x] is "x". */
#define NAMES(X)                                                                                   \
    X(allow_redirects)                                                                             \
    X(auth)                                                                                        \
    X(bucket_response_time)                                                                        \
    X(catch_response)                                                                              \
    X(cert)                                                                                        \
    X(cookies)                                                                                     \
    X(context)                                                                                     \
    X(data)                                                                                        \
    X(exception)                                                                                   \
    X(files)                                                                                       \
    X(fire)                                                                                        \
    X(handle_error)                                                                                \
    X(hooks)                                                                                       \
    X(headers)                                                                                     \
    X(json)                                                                                        \
    X(max_redirects)                                                                               \
    X(max_retries)                                                                                 \
    X(method)                                                                                      \
    X(name)                                                                                        \
    X(params)                                                                                      \
    X(proxies)                                                                                     \
    X(ref)                                                                                         \
    X(request)                                                                                     \
    X(request_type)                                                                                \
    X(response)                                                                                    \
    X(response_length)                                                                             \
    X(response_time)                                                                               \
    X(start_time)                                                                                  \
    X(stats)                                                                                       \
    X(stream)                                                                                      \
    X(timeout)                                                                                     \
    X(upper)                                                                                       \
    X(url)                                                                                         \
    X(verify)                                                                                      \
    X(version)                                                                                     \
    X(_cookies)                                                                                    \
    X(_handlers)                                                                                   \
    X(_store)

/* The methods that a session has a function for. */
#define METHODS(X) X(GET) X(POST) X(PUT) X(PATCH) X(DELETE) X(HEAD) X(OPTIONS)

#define AS_ENUM(name) NAME_##name,
enum { NAMES(AS_ENUM) METHODS(AS_ENUM) N_NAMES };
#undef AS_ENUM

/* Functions of the package's Python part, for what is rare; imported when first used. */
#define HELPERS(X)                                                                                 \
    X(dumps, "json", "dumps")                                                                      \
    X(loads, "json", "loads")                                                                      \
    X(timedelta, "datetime", "timedelta")                                                          \
    X(blocking_switch_out, "gevent.exceptions", "BlockingSwitchOutError")                          \
    X(timeout, "gevent.timeout", "Timeout")                                                        \
    X(locust_error, "locust.exception", "LocustError")                                             \
    X(response_error, "locust.exception", "ResponseError")                                         \
    X(catch_response_error, "locust.exception", "CatchResponseError")                              \
    X(failure, "opscore_fast.exceptions", "from_result")                                           \
    X(bad_status, "opscore_fast.exceptions", "bad_status")                                         \
    X(too_many_redirects, "opscore_fast.exceptions", "too_many_redirects")                         \
    X(redirect_error, "opscore_fast.exceptions", "RedirectError")                                  \
    X(redirect, "opscore_fast.urls", "redirect")                                                   \
    X(with_params, "opscore_fast.urls", "with_params")                                             \
    X(shown_url, "opscore_fast.urls", "shown")                                                     \
    X(ascii_url, "opscore_fast.urls", "ascii_url")                                                 \
    X(encode_body, "opscore_fast.bodies", "encode")                                                \
    X(encode_files, "opscore_fast.bodies", "encode_files")                                         \
    X(unknown_keywords, "opscore_fast.bodies", "unknown_keywords")                                 \
    X(basic_auth, "opscore_fast.bodies", "basic_auth")                                             \
    X(login, "opscore_fast.auth", "login")                                                         \
    X(new_cookiejar, "opscore_fast.cookies", "new_jar")                                            \
    X(cookie_header, "opscore_fast.cookies", "header")                                             \
    X(extract_cookies, "opscore_fast.cookies", "extract")                                          \
    X(iter_content, "opscore_fast.responses", "iter_content")                                      \
    X(decode_content, "opscore_fast.responses", "decode_content")                                  \
    X(make_headers, "opscore_fast.responses", "make_headers")                                      \
    X(make_request, "opscore_fast.responses", "make_request")                                      \
    X(decode_text, "opscore_fast.responses", "decode_text")                                        \
    X(prepared_request, "opscore_fast.http_response", "prepared_request")                          \
    X(response_headers, "opscore_fast.http_response", "response_headers")                          \
    X(encoding_from_headers, "requests.utils", "get_encoding_from_headers")                        \
    X(case_insensitive_dict, "requests.structures", "CaseInsensitiveDict")                         \
    X(note_response, "opscore_fast.exceptions", "note_response")                                   \
    X(http_content, "opscore_fast.http_response", "content")                                       \
    X(http_text, "opscore_fast.http_response", "text")                                             \
    X(http_json, "opscore_fast.http_response", "json")                                             \
    X(http_ok, "opscore_fast.http_response", "ok")                                                 \
    X(http_raise, "opscore_fast.http_response", "raise_for_status")                                \
    X(http_error, "opscore_fast.http_response", "http_error")                                      \
    X(http_url, "opscore_fast.http_session", "prepare_url")                                        \
    X(http_slowly, "opscore_fast.http_session", "request_slowly")                                  \
    X(http_follow, "opscore_fast.http_session", "follow")                                          \
    X(http_cookie_header, "opscore_fast.cookies", "requests_header")                               \
    X(http_take_cookies, "opscore_fast.http_session", "take_cookies")                              \
    X(http_pool, "opscore_fast.http_session", "pool_for")                                          \
    X(attach, "opscore_fast.statistics", "attach")                                                 \
    X(detach, "opscore_fast.statistics", "detach")                                                 \
    X(current_engine, "opscore_fast.engines", "current")

#define AS_ENUM(name, module, attribute) HELPER_##name,
enum { HELPERS(AS_ENUM) N_HELPERS };
#undef AS_ENUM

typedef struct State {
    PyObject *names[N_NAMES];
    PyObject *helpers[N_HELPERS]; /* NULL until first used */
    PyTypeObject *engine_type;
    PyTypeObject *pool_type;
    PyTypeObject *session_type;
    PyTypeObject *response_type;
    PyTypeObject *catching_type; /* ResponseContextManager */
    PyTypeObject *http_response_type;
    PyTypeObject *collector_type;
    PyTypeObject *proxy_type;
    PyTypeObject *scheme_auth_type;
    PyTypeObject *plan_type;
    PyTypeObject *fleet_type;
    PyObject *fast_request; /* FastSession.request, to tell whether a subclass has its own */
    PyObject *http_request; /* HttpSession.request, likewise */
    char *scratch;          /* for JSON on its way to the wire */
    size_t scratch_size;
} State;

extern struct PyModuleDef opf_module;

/* The state of the module that a type, or a base of it, is of. Never NULL for our types. */
State *state_of(PyTypeObject *type);

/* A helper, imported if need be: borrowed, or NULL with an exception. */
PyObject *state_helper(State *state, int helper);

/* The types: each adds itself to the module. Return 0, or -1 with an exception. */
int Engine_add(PyObject *module, State *state);
int Pool_add(PyObject *module, State *state);
int Session_add(PyObject *module, State *state);
int FastSession_add(PyObject *module, State *state);
int HttpSession_add(PyObject *module, State *state);
int Response_add(PyObject *module, State *state);
int Collector_add(PyObject *module, State *state);
int Route_add(PyObject *module, State *state);
int Plan_add(PyObject *module, State *state);
int Fleet_add(PyObject *module, State *state);

/* Makes a type of the spec (bases may be NULL) and adds it to the module under its name. */
PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, PyObject *bases);

/* JSON text as json.dumps(obj) would give it, written into the state's scratch memory: *text is
 * valid until the next call. Returns 0, or -1 with an exception. */
int json_encode(State *state, PyObject *obj, const char **text, size_t *len);

/* The same for what takes no Python code to write and is no NaN or infinity; returns 1 for anything
 * else. */
int json_encode_plain(State *state, PyObject *obj, const char **text, size_t *len);

#endif
