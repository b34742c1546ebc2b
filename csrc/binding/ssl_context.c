#include "binding/ssl_context.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>

/* How PySSLContext of Modules/_ssl.c begins, in all versions of Python that we are built for. */
typedef struct context_head {
    PyObject_HEAD SSL_CTX *ctx;
} context_head;

#define LAYOUT_KNOWN (PY_VERSION_HEX < 0x030E0000)

/* Whether a library, with all that it was linked with, calls the very OpenSSL that we call. */
static bool calls_our_openssl(void *library)
{
    void *theirs = dlsym(library, "SSL_CTX_new");
    SSL_CTX *(*const ours)(const SSL_METHOD *) = SSL_CTX_new;
    return theirs && memcmp(&theirs, &ours, sizeof(theirs)) == 0;
}

static int file_calls_our_openssl(PyObject *file)
{
    PyObject *path = NULL;
    if (!PyUnicode_FSConverter(file, &path))
        return -1;
    void *library = dlopen(PyBytes_AS_STRING(path), RTLD_LAZY | RTLD_NOLOAD);
    Py_DECREF(path);
    if (!library)
        return 0;
    bool same = calls_our_openssl(library);
    dlclose(library);
    return same;
}

/* The same for a module that is part of Python itself. That our OpenSSL is seen by all does not
 * prove that Python has none of its own. */
static int builtin_calls_our_openssl(PyObject *module)
{
    PyObject *version = PyObject_GetAttrString(module, "OPENSSL_VERSION");
    if (!version)
        return -1;
    bool same = calls_our_openssl(RTLD_DEFAULT) && PyUnicode_Check(version) &&
                PyUnicode_CompareWithASCIIString(version, OpenSSL_version(OPENSSL_VERSION)) == 0;
    Py_DECREF(version);
    return same;
}

/* Whether the module _ssl uses our OpenSSL: 1, 0, or -1 with an exception. */
static int same_openssl(PyObject *module)
{
    PyObject *file = PyObject_GetAttrString(module, "__file__");
    if (!file) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
        return builtin_calls_our_openssl(module);
    }
    int same = file_calls_our_openssl(file);
    Py_DECREF(file);
    return same;
}

static int is_context(PyObject *module, PyObject *object)
{
    PyObject *type = PyObject_GetAttrString(module, "_SSLContext");
    int is = type ? PyObject_IsInstance(object, type) : -1;
    /* an instance by its word alone (__class__) is none */
    if (is == 1 && !PyType_IsSubtype(Py_TYPE(object), (PyTypeObject *)type))
        is = 0;
    Py_XDECREF(type);
    return is;
}

/* Whether an attribute is the number. */
static int attribute_is(PyObject *object, const char *name, unsigned long long number)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (!value)
        return -1;
    unsigned long long is = PyLong_AsUnsignedLongLongMask(value);
    Py_DECREF(value);
    return PyErr_Occurred() ? -1 : is == number;
}

/* Whether what OpenSSL says of the SSL_CTX is what Python says of the object. */
static int agree(PyObject *context, const SSL_CTX *ctx)
{
    if (!ctx)
        return 0;
    int mode = SSL_CTX_get_verify_mode(ctx);
    /* ssl.CERT_NONE, CERT_OPTIONAL and CERT_REQUIRED */
    int named = !(mode & SSL_VERIFY_PEER) ? 0 : mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT ? 2 : 1;
    int agrees = attribute_is(context, "verify_mode", (unsigned long long)named);
    return agrees == 1 ? attribute_is(context, "options", SSL_CTX_get_options(ctx)) : agrees;
}

static void *get(PyObject *module, PyObject *context)
{
    int is = is_context(module, context);
    if (is == 0)
        PyErr_Format(PyExc_TypeError, "it is a %.100s, not an ssl.SSLContext",
                     Py_TYPE(context)->tp_name);
    if (is != 1)
        return NULL;
    int same = LAYOUT_KNOWN ? same_openssl(module) : 0;
    if (same == 0)
        PyErr_SetString(PyExc_ValueError, LAYOUT_KNOWN
                                              ? "Python's ssl module uses another OpenSSL library"
                                              : "what an SSLContext of this Python is isn't known");
    if (same != 1)
        return NULL;
    SSL_CTX *ctx = ((context_head *)context)->ctx;
    int agrees = agree(context, ctx);
    if (agrees == 0)
        PyErr_SetString(PyExc_ValueError, "it says something else than its OpenSSL context");
    return agrees == 1 ? ctx : NULL;
}

void *ssl_context_get(PyObject *context)
{
    PyObject *module = PyImport_ImportModule("_ssl");
    void *ctx = module ? get(module, context) : NULL;
    Py_XDECREF(module);
    return ctx;
}
