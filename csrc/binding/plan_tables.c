/* A recording.plan.Plan copied into an opf_plan, table by table. */
#include <limits.h>
#include <string.h>

#include "agent/regex.h"
#include "base/mem.h"
#include "binding/plan.h"
#include "binding/value.h"

/* All functions that return int return 0, or -1 with an exception. What they have written so far is
 * the plan's, to be freed with it: an array's entries are all zero until they are filled in. */

/* Allocates n zeroed entries (none for 0). */
static int make_array(size_t n, size_t size, void *array)
{
    void *made = n ? opf_mem_zalloc(n * size) : NULL;
    memcpy(array, &made, sizeof(made));
    if (!n || made)
        return 0;
    PyErr_NoMemory();
    return -1;
}

typedef int fill_fn(PyObject *item, void *entry);

/* Fills an array with what a sequence has. *array is a pointer to entries of the size. */
static int fill(PyObject *sequence, size_t size, fill_fn *entry, void *array, uint32_t *n)
{
    PyObject *fast = sequence ? PySequence_Tuple(sequence) : NULL;
    if (!fast)
        return -1;
    size_t count = (size_t)PyTuple_GET_SIZE(fast);
    int ret = -1;
    if (count > UINT32_MAX / size)
        PyErr_SetString(PyExc_ValueError, "a table of the plan is too long");
    else
        ret = make_array(count, size, array);
    char *entries;
    memcpy(&entries, array, sizeof(entries));
    if (ret == 0)
        *n = (uint32_t)count;
    for (size_t i = 0; ret == 0 && i < count; i++)
        ret = entry(PyTuple_GET_ITEM(fast, (Py_ssize_t)i), entries + i * size);
    Py_DECREF(fast);
    return ret;
}

static int fill_from(PyObject *object, const char *attribute, size_t size, fill_fn *entry,
                     void *array, uint32_t *n)
{
    PyObject *sequence = PyObject_GetAttrString(object, attribute);
    int ret = fill(sequence, size, entry, array, n);
    Py_XDECREF(sequence);
    return ret;
}

/* Numbers */

static int read_number(PyObject *object, long long min, long long max, long long *value)
{
    int overflow = 0;
    *value = object ? PyLong_AsLongLongAndOverflow(object, &overflow) : -1;
    if (*value == -1 && PyErr_Occurred())
        return -1;
    if (overflow || *value < min || *value > max) {
        PyErr_SetString(PyExc_ValueError, "a number of the plan is out of its range");
        return -1;
    }
    return 0;
}

static int get_number(PyObject *object, const char *attribute, long long min, long long max,
                      long long *value)
{
    PyObject *number = PyObject_GetAttrString(object, attribute);
    int ret = read_number(number, min, max, value);
    Py_XDECREF(number);
    return ret;
}

static int get_index(PyObject *object, const char *attribute, uint32_t *index)
{
    long long value;
    if (get_number(object, attribute, 0, UINT32_MAX, &value) != 0)
        return -1;
    *index = (uint32_t)value;
    return 0;
}

static int get_operand(PyObject *object, const char *attribute, opf_operand *operand)
{
    long long value;
    if (get_number(object, attribute, INT32_MIN, INT32_MAX, &value) != 0)
        return -1;
    *operand = (opf_operand)value;
    return 0;
}

static int get_flag(PyObject *object, const char *attribute, bool *flag)
{
    PyObject *value = PyObject_GetAttrString(object, attribute);
    int truth = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    *flag = truth > 0;
    return truth < 0 ? -1 : 0;
}

static int get_double(PyObject *object, const char *attribute, double *value)
{
    PyObject *number = PyObject_GetAttrString(object, attribute);
    *value = number ? PyFloat_AsDouble(number) : -1.0;
    Py_XDECREF(number);
    return *value == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* A time-out: seconds, or None for the plan's. */
static int get_timeout(PyObject *object, const char *attribute, uint64_t *ns)
{
    PyObject *value = PyObject_GetAttrString(object, attribute);
    double seconds = value && value != Py_None ? PyFloat_AsDouble(value) : 0.0;
    *ns = value == Py_None ? UINT64_MAX : seconds_to_ns(seconds);
    int ret = !value || (seconds == -1.0 && PyErr_Occurred()) ? -1 : 0;
    Py_XDECREF(value);
    return ret;
}

/* Texts */

static int copy_bytes(const char *text, size_t len, char **out)
{
    if (len >= UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a text of the plan is too long");
        return -1;
    }
    *out = opf_mem_alloc(len + 1);
    if (!*out) {
        PyErr_NoMemory();
        return -1;
    }
    if (len)
        memcpy(*out, text, len);
    (*out)[len] = '\0';
    return 0;
}

/* Copies a str; len NULL: it must have no NUL. */
static int copy_text(PyObject *text, char **out, uint32_t *len)
{
    Py_ssize_t size;
    const char *data = text ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
    if (!data || copy_bytes(data, (size_t)size, out) != 0)
        return -1;
    if (len) {
        *len = (uint32_t)size;
    } else if (strlen(*out) != (size_t)size) {
        PyErr_SetString(PyExc_ValueError, "a text of the plan has a NUL in it");
        return -1;
    }
    return 0;
}

/* The same into a pointer to constant bytes. */
static int copy_const(PyObject *text, const char **out, uint32_t *len)
{
    char *made = NULL;
    int ret = copy_text(text, &made, len);
    *out = made;
    return ret;
}

static int get_text(PyObject *object, const char *attribute, const char **out)
{
    PyObject *text = PyObject_GetAttrString(object, attribute);
    int ret = copy_const(text, out, NULL);
    Py_XDECREF(text);
    return ret;
}

/* Templates */

static int bad_format(const char *text)
{
    PyErr_Format(PyExc_ValueError, "the format '%s' can't be written by an agent", text);
    return -1;
}

/* Reads digits of a number up to max; none are 0. */
static const char *read_digits(const char *text, long max, long *value)
{
    for (*value = 0; *text >= '0' && *text <= '9' && *value <= max; text++)
        *value = *value * 10 + (*text - '0');
    return text;
}

/* Reads a format spec, see opf_format. */
static int read_format(const char *spec, opf_format *format)
{
    *format = (opf_format){0};
    if (!*spec)
        return 0;
    const char *at = spec;
    long width, precision = -1;
    if (*at == '0') {
        format->zero = true;
        at++;
    }
    at = read_digits(at, UINT16_MAX, &width);
    if (*at == '.') {
        const char *digits = ++at;
        at = read_digits(at, INT16_MAX, &precision);
        if (at == digits)
            return bad_format(spec);
    }
    if (*at && strchr("dfegxXs", *at))
        format->type = *at++;
    if (*at || width > UINT16_MAX || precision > INT16_MAX || (!format->type && !width))
        return bad_format(spec);
    format->width = (uint16_t)width;
    format->precision = (int16_t)precision;
    return 0;
}

static int fill_value_piece(PyObject *value, opf_piece *piece)
{
    long long encoding;
    PyObject *spec = NULL;
    const char *text = NULL;
    int ret = -1;
    if (get_operand(value, "operand", &piece->value) == 0 &&
        get_number(value, "encoding", 0, OPF_AS_HEADER, &encoding) == 0) {
        piece->encoding = (opf_encoding)encoding;
        spec = PyObject_GetAttrString(value, "format");
        text = spec ? PyUnicode_AsUTF8(spec) : NULL;
        ret = text ? read_format(text, &piece->format) : -1;
    }
    Py_XDECREF(spec);
    return ret;
}

static int fill_piece(PyObject *item, void *entry)
{
    opf_piece *piece = entry;
    if (!PyBytes_Check(item))
        return fill_value_piece(item, piece);
    char *text = NULL;
    int ret = copy_bytes(PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item), &text);
    piece->text = text;
    piece->len = ret == 0 ? (uint32_t)PyBytes_GET_SIZE(item) : 0;
    return ret;
}

static int fill_template(PyObject *pieces, void *entry)
{
    opf_template *tmpl = entry;
    return fill(pieces, sizeof(opf_piece), fill_piece, &tmpl->pieces, &tmpl->n);
}

static int get_template(PyObject *object, const char *attribute, opf_template *tmpl)
{
    PyObject *pieces = PyObject_GetAttrString(object, attribute);
    int ret = pieces ? fill_template(pieces, tmpl) : -1;
    Py_XDECREF(pieces);
    return ret;
}

/* What instructions name */

static int fill_constant(PyObject *item, void *entry)
{
    opf_value *value = entry, read;
    if (item == Py_Ellipsis) {
        PyErr_SetString(PyExc_TypeError, "a constant of the plan is not set");
        return -1;
    }
    if (value_from_object(item, &read) != 0)
        return -1;
    char *copy = NULL;
    if (read.kind == OPF_TEXT) {
        if (copy_bytes(read.s, read.len, &copy) != 0)
            return -1;
        read.s = copy;
    }
    *value = read;
    return 0;
}

static int fill_operand(PyObject *item, void *entry)
{
    long long value;
    if (read_number(item, INT32_MIN, INT32_MAX, &value) != 0)
        return -1;
    *(opf_operand *)entry = (opf_operand)value;
    return 0;
}

static int fill_table(PyObject *item, void *entry)
{
    opf_table *table = entry;
    return fill(item, sizeof(opf_operand), fill_operand, &table->entries, &table->n);
}

static int fill_step(PyObject *item, void *entry)
{
    opf_step *step = entry;
    if (PyUnicode_Check(item))
        return copy_const(item, &step->key, &step->len);
    long long index;
    if (read_number(item, INT32_MIN, INT32_MAX, &index) != 0)
        return -1;
    step->index = (int32_t)index;
    return 0;
}

static int fill_path(PyObject *item, void *entry)
{
    opf_path *path = entry;
    return fill(item, sizeof(opf_step), fill_step, &path->steps, &path->n);
}

static int fill_regex(PyObject *item, void *entry)
{
    static const uint32_t unicode = 32; /* re.UNICODE, which every pattern of a str has */
    const char *pattern;
    Py_ssize_t len;
    unsigned int flags;
    opf_why why = NULL;
    if (!PyArg_ParseTuple(item, "s#I", &pattern, &len, &flags))
        return -1;
    opf_regex *regex = opf_regex_new(pattern, (size_t)len, flags & ~unicode, &why);
    if (!regex && why)
        PyErr_Format(PyExc_ValueError, "the regular expression '%s' can't be used: %s", pattern,
                     why);
    else if (!regex)
        PyErr_NoMemory();
    *(opf_regex **)entry = regex;
    return regex ? 0 : -1;
}

static int fill_raise(PyObject *item, void *entry)
{
    opf_raise *raise = entry;
    PyObject *type, *text;
    if (!PyArg_ParseTuple(item, "UO", &type, &text))
        return -1;
    return copy_const(type, &raise->type, NULL) == 0 ? fill_template(text, &raise->text) : -1;
}

static int fill_place(PyObject *item, void *entry)
{
    opf_place *place = entry;
    return copy_text(item, &place->url, NULL);
}

static int fill_counter(PyObject *item, void *entry)
{
    opf_counter *counter = entry;
    long long next, step;
    if (!PyArg_ParseTuple(item, "LL", &next, &step))
        return -1;
    atomic_init(&counter->next, next);
    counter->step = step;
    return 0;
}

static int fill_samples(PyObject *Py_UNUSED(item), void *Py_UNUSED(entry))
{
    return 0; /* opf_plan_seal makes them */
}

static int fill_line(PyObject *item, void *entry)
{
    return copy_text(item, entry, NULL);
}

/* Requests */

static int fill_header(PyObject *item, void *entry)
{
    opf_request_header *header = entry;
    PyObject *name, *value;
    if (!PyArg_ParseTuple(item, "UO", &name, &value))
        return -1;
    return copy_const(name, &header->name, &header->name_len) == 0
               ? fill_template(value, &header->value)
               : -1;
}

/* Copies a str of Latin-1 without a NUL, as it is sent. */
static int get_latin1(PyObject *object, const char *attribute, const char **out)
{
    PyObject *text = PyObject_GetAttrString(object, attribute);
    PyObject *bytes = text ? PyUnicode_AsLatin1String(text) : NULL;
    char *data, *made = NULL;
    int ret = bytes ? PyBytes_AsStringAndSize(bytes, &data, NULL) : -1; /* refuses a NUL */
    if (ret == 0)
        ret = copy_bytes(data, strlen(data), &made);
    *out = made;
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    return ret;
}

static int fill_cookie(PyObject *item, void *entry)
{
    opf_request_cookie *cookie = entry;
    if (get_latin1(item, "name", &cookie->name) != 0 ||
        get_latin1(item, "domain", &cookie->domain) != 0 ||
        get_latin1(item, "path", &cookie->path) != 0 ||
        get_flag(item, "host_only", &cookie->host_only) != 0 ||
        get_flag(item, "secure", &cookie->secure) != 0)
        return -1;
    PyObject *expires = PyObject_GetAttrString(item, "expires");
    PyObject *value = expires ? PyObject_GetAttrString(item, "value") : NULL;
    long long at = INT64_MAX;
    int ret = value ? 0 : -1;
    if (ret == 0 && expires != Py_None)
        ret = read_number(expires, INT64_MIN, INT64_MAX, &at);
    cookie->expires = at;
    cookie->has_value = value && value != Py_None;
    if (ret == 0 && cookie->has_value)
        ret = fill_template(value, &cookie->value);
    Py_XDECREF(expires);
    Py_XDECREF(value);
    return ret;
}

static int fill_extract(PyObject *item, void *entry)
{
    opf_extract *extract = entry;
    long long take;
    if (get_number(item, "take", 0, INT_MAX, &take) != 0 ||
        get_index(item, "dst", &extract->dst) != 0 ||
        get_index(item, "what", &extract->what) != 0 ||
        get_index(item, "group", &extract->group) != 0 ||
        get_text(item, "name", &extract->name) != 0)
        return -1;
    extract->take = (opf_take)take;
    return 0;
}

static int copy_body(PyObject *item, opf_request_plan *request)
{
    PyObject *body = PyObject_GetAttrString(item, "body");
    int ret = body ? 0 : -1;
    if (body && body != Py_None) {
        request->has_body = true;
        ret = fill_template(body, &request->body);
    }
    Py_XDECREF(body);
    return ret;
}

static int fill_request(PyObject *item, void *entry)
{
    opf_request_plan *request = entry;
    if (get_text(item, "method", &request->method) != 0 ||
        get_index(item, "place", &request->place) != 0 ||
        get_template(item, "target", &request->target) != 0 ||
        get_template(item, "params", &request->params) != 0 ||
        get_template(item, "url", &request->url) != 0 ||
        get_template(item, "name", &request->name) != 0 ||
        fill_from(item, "headers", sizeof(opf_request_header), fill_header, &request->headers,
                  &request->n_headers) != 0 ||
        fill_from(item, "cookies", sizeof(opf_request_cookie), fill_cookie, &request->cookies,
                  &request->n_cookies) != 0 ||
        copy_body(item, request) != 0)
        return -1;
    if (get_flag(item, "caught", &request->caught) != 0 ||
        get_flag(item, "redirects", &request->redirects) != 0 ||
        get_flag(item, "has_cookie", &request->has_cookie) != 0 ||
        get_flag(item, "has_host", &request->has_host) != 0 ||
        get_timeout(item, "connect_timeout", &request->connect_ns) != 0 ||
        get_timeout(item, "network_timeout", &request->network_ns) != 0 ||
        get_index(item, "line", &request->line) != 0)
        return -1;
    return fill_from(item, "extracts", sizeof(opf_extract), fill_extract, &request->extracts,
                     &request->n_extracts);
}

/* Programs and sets of tasks */

static int fill_instruction(PyObject *item, void *entry)
{
    opf_instruction *in = entry;
    long long op;
    if (get_number(item, "op", 0, INT_MAX, &op) != 0 || get_index(item, "dst", &in->dst) != 0 ||
        get_index(item, "what", &in->what) != 0 || get_index(item, "target", &in->target) != 0 ||
        get_operand(item, "a", &in->a) != 0 || get_operand(item, "b", &in->b) != 0 ||
        get_operand(item, "c", &in->c) != 0 || get_index(item, "line", &in->line) != 0)
        return -1;
    in->op = (opf_op)op;
    return 0;
}

static int fill_program(PyObject *item, void *entry)
{
    opf_program *program = entry;
    if (get_text(item, "name", &program->name) != 0)
        return -1;
    return fill_from(item, "code", sizeof(opf_instruction), fill_instruction, &program->code,
                     &program->n);
}

static int fill_choice(PyObject *item, void *entry)
{
    opf_choice *choice = entry;
    const char *kind;
    unsigned int index;
    if (!PyArg_ParseTuple(item, "sI", &kind, &index))
        return -1;
    bool program = strcmp(kind, "program") == 0;
    if (!program && strcmp(kind, "set") != 0) {
        PyErr_Format(PyExc_ValueError, "a choice is of a \"program\" or a \"set\", not of a \"%s\"",
                     kind);
        return -1;
    }
    *choice = (opf_choice){.program = program ? index : OPF_NOTHING,
                           .set = program ? OPF_NOTHING : index};
    return 0;
}

static int copy_wait(PyObject *item, opf_wait *wait)
{
    PyObject *from = PyObject_GetAttrString(item, "wait");
    long long pace;
    int ret = -1;
    if (from && get_number(from, "pace", 0, INT_MAX, &pace) == 0 &&
        get_double(from, "a", &wait->a) == 0 && get_double(from, "b", &wait->b) == 0 &&
        get_index(from, "samples", &wait->samples) == 0) {
        wait->pace = (opf_pace)pace;
        ret = 0;
    }
    Py_XDECREF(from);
    return ret;
}

static int fill_set(PyObject *item, void *entry)
{
    opf_task_set *set = entry;
    if (get_flag(item, "sequential", &set->sequential) != 0 || copy_wait(item, &set->wait) != 0 ||
        get_index(item, "on_start", &set->on_start) != 0)
        return -1;
    return fill_from(item, "choices", sizeof(opf_choice), fill_choice, &set->choices, &set->n);
}

/* The plan */

static int copy_style(opf_plan *plan, PyObject *source)
{
    PyObject *style = PyObject_GetAttrString(source, "style");
    const char *text = style ? PyUnicode_AsUTF8(style) : NULL;
    int ret = text ? 0 : -1;
    if (text && strcmp(text, "http") == 0)
        plan->style = OPF_STYLE_HTTP;
    else if (text && strcmp(text, "fast") == 0)
        plan->style = OPF_STYLE_FAST;
    else if (text) {
        PyErr_Format(PyExc_ValueError, "the style of a plan is \"http\" or \"fast\", not \"%s\"",
                     text);
        ret = -1;
    }
    Py_XDECREF(style);
    return ret;
}

static int count_slots(opf_plan *plan, PyObject *source)
{
    PyObject *slots = PyObject_GetAttrString(source, "slots");
    Py_ssize_t n = slots ? PySequence_Size(slots) : -1;
    Py_XDECREF(slots);
    if (n < 0)
        return -1;
    plan->n_slots = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    return 0;
}

int plan_copy_tables(opf_plan *plan, PyObject *source)
{
#define FILL(name, type, entry)                                                                    \
    fill_from(source, #name, sizeof(type), entry, &plan->name, &plan->n_##name)
    if (copy_style(plan, source) != 0 || count_slots(plan, source) != 0 ||
        get_index(source, "n_registers", &plan->n_registers) != 0 ||
        get_index(source, "max_redirects", &plan->max_redirects) != 0 ||
        get_flag(source, "http_version_in_name", &plan->names_protocol) != 0 ||
        get_index(source, "start", &plan->start) != 0)
        return -1;
    if (FILL(constants, opf_value, fill_constant) != 0 ||
        FILL(templates, opf_template, fill_template) != 0 ||
        FILL(tables, opf_table, fill_table) != 0 || FILL(paths, opf_path, fill_path) != 0 ||
        FILL(regexes, opf_regex *, fill_regex) != 0 || FILL(raises, opf_raise, fill_raise) != 0 ||
        FILL(places, opf_place, fill_place) != 0 ||
        FILL(requests, opf_request_plan, fill_request) != 0 ||
        FILL(programs, opf_program, fill_program) != 0 || FILL(sets, opf_task_set, fill_set) != 0 ||
        FILL(counters, opf_counter, fill_counter) != 0 ||
        FILL(samples, opf_samples, fill_samples) != 0 || FILL(lines, char *, fill_line) != 0)
        return -1;
#undef FILL
    return 0;
}

/* Pool options */

/* Copies a string that may be NULL, in its place. */
static int own(const char **text)
{
    if (!*text)
        return 0;
    *text = opf_mem_strdup(*text);
    if (*text)
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int copy_network(opf_network_options *to, const opf_network_options *from)
{
    const char **sources;
    opf_resolve *resolve;
    if (make_array(from->n_sources, sizeof(*sources), &sources) != 0)
        return -1;
    to->sources = sources;
    for (; to->n_sources < from->n_sources; to->n_sources++) {
        sources[to->n_sources] = from->sources[to->n_sources];
        if (own(&sources[to->n_sources]) != 0)
            return -1;
    }
    if (make_array(from->n_resolve, sizeof(*resolve), &resolve) != 0)
        return -1;
    to->resolve = resolve;
    for (; to->n_resolve < from->n_resolve; to->n_resolve++) {
        opf_resolve *entry = &resolve[to->n_resolve];
        const opf_resolve *given = &from->resolve[to->n_resolve];
        *entry = (opf_resolve){.host = given->host, .port = given->port};
        if (own(&entry->host) != 0)
            return -1;
        entry->address = given->address;
        if (own(&entry->address) != 0) {
            opf_mem_free((void *)(uintptr_t)entry->host);
            return -1;
        }
    }
    to->unix_path = from->unix_path;
    return own(&to->unix_path);
}

/* Copies the strings of the options, which are NULL until then, one after the other. */
static int copy_strings(opf_pool_options *to, const opf_pool_options *from)
{
    const struct {
        const char **to;
        const char *from;
    } strings[] = {
        {&to->tls.ca_file, from->tls.ca_file},           {&to->tls.ca_dir, from->tls.ca_dir},
        {&to->tls.cert_file, from->tls.cert_file},       {&to->tls.key_file, from->tls.key_file},
        {&to->tls.key_password, from->tls.key_password}, {&to->tls.ciphers, from->tls.ciphers},
        {&to->tls.ciphersuites, from->tls.ciphersuites}, {&to->server_name, from->server_name},
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        *strings[i].to = strings[i].from;
        if (own(strings[i].to) != 0)
            return -1;
    }
    return 0;
}

int plan_copy_options(opf_plan *plan, const opf_pool_options *options)
{
    opf_pool_options *to = &plan->pool;
    *to = (opf_pool_options){
        .concurrency = options->concurrency,
        .http2 = options->http2,
        .http2_connections = options->http2_connections,
        .http2_window = options->http2_window,
        .http2_connection_window = options->http2_connection_window,
        .http2_streams = options->http2_streams,
        .timeouts = options->timeouts,
        .idle_ns = options->idle_ns,
        .max_headers = options->max_headers,
        .max_body = options->max_body,
        .tls = {.verify = options->tls.verify,
                .min_version = options->tls.min_version,
                .max_version = options->tls.max_version,
                .ssl_ctx = options->tls.ssl_ctx,
                .check_name = options->tls.check_name},
        .tls_resume = options->tls_resume,
        .network = {.keep_alive_s = options->network.keep_alive_s, .delay = options->network.delay},
    };
    return copy_strings(to, options) == 0 ? copy_network(&to->network, &options->network) : -1;
}
