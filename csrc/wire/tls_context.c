#include "wire/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* The options' strings, to be copied, compared and freed alike. */
static const size_t strings[] = {
    offsetof(opf_tls_options, ca_file),      offsetof(opf_tls_options, ca_dir),
    offsetof(opf_tls_options, cert_file),    offsetof(opf_tls_options, key_file),
    offsetof(opf_tls_options, key_password), offsetof(opf_tls_options, ciphers),
    offsetof(opf_tls_options, ciphersuites),
};
#define N_STRINGS (sizeof(strings) / sizeof(strings[0]))

static const char *string_of(const opf_tls_options *options, size_t i)
{
    const char *s;
    memcpy(&s, (const char *)options + strings[i], sizeof(s));
    return s;
}

static void set_string(opf_tls_options *options, size_t i, const char *s)
{
    memcpy((char *)options + strings[i], &s, sizeof(s));
}

/* What OpenSSL says: the first of its errors is the one nearest the cause. otherwise: of what there
 * is none of, for files that hold something else. */
static const char *reason(const char *otherwise)
{
    unsigned long code = ERR_peek_error();
    if (ERR_SYSTEM_ERROR(code))
        return strerror(ERR_GET_REASON(code));
    const char *text = ERR_reason_error_string(code);
    bool other = ERR_GET_REASON(code) == ERR_R_UNSUPPORTED ||
                 (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE);
    return text && !other ? text : otherwise;
}

/* Where a text goes that says why there is no context. */
typedef struct problem {
    char *text;
    size_t size;
} problem;

__attribute__((format(printf, 2, 3))) static bool fails(problem *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, why->size, format, arguments);
    va_end(arguments);
    return false;
}

/* What is trusted */

static bool load_trust(SSL_CTX *ctx, const opf_tls_options *options, problem *why)
{
    const char *file = options->ca_file, *dir = options->ca_dir;
    if (!file && !dir) {
        /* the system's store is some 140 certificates: only read when something is checked */
        if (!options->verify || SSL_CTX_set_default_verify_paths(ctx) == 1)
            return true;
        return fails(why, "the system's CA certificates can't be loaded: %s", reason("unknown"));
    }
    if (file && SSL_CTX_load_verify_file(ctx, file) != 1)
        return fails(why, "CA bundle %s can't be loaded: %s", file, reason("no certificate in it"));
    if (dir && SSL_CTX_load_verify_dir(ctx, dir) != 1)
        return fails(why, "CA directory %s can't be used: %s", dir, reason("unknown"));
    return true;
}

/* The client's certificate */

typedef struct password {
    const char *text;
    bool asked;
} password;

/* Stands in the place of OpenSSL's own, which would ask at the terminal. */
static int give_password(char *to, int size, int writing, void *arg)
{
    password *given = arg;
    (void)writing;
    given->asked = true;
    size_t len = given->text ? strlen(given->text) : 0;
    if (!len || len > (size_t)size)
        return -1;
    memcpy(to, given->text, len);
    return (int)len;
}

static bool load_key(SSL_CTX *ctx, const opf_tls_options *options, const password *given,
                     problem *why)
{
    const char *file = options->key_file ? options->key_file : options->cert_file;
    int loaded = SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM);
    if (loaded == 1 && SSL_CTX_check_private_key(ctx) == 1)
        return true;
    if (loaded == 1 || ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
        return fails(why, "client key %s does not belong to the certificate %s", file,
                     options->cert_file);
    if (given->asked)
        return fails(why, "client key %s can't be decrypted: %s", file,
                     given->text ? "the password is wrong" : "it needs a password");
    return fails(why, "client key %s can't be loaded: %s", file, reason("no private key in it"));
}

static bool load_certificate(SSL_CTX *ctx, const opf_tls_options *options, problem *why)
{
    password given = {.text = options->key_password};
    if (!options->cert_file)
        return true;
    SSL_CTX_set_default_passwd_cb(ctx, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &given);
    bool ok = SSL_CTX_use_certificate_chain_file(ctx, options->cert_file) == 1;
    if (!ok)
        fails(why, "client certificate %s can't be loaded: %s", options->cert_file,
              reason("no certificate in it"));
    ok = ok && load_key(ctx, options, &given, why);
    SSL_CTX_set_default_passwd_cb(ctx, NULL);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    return ok;
}

/* What is spoken */

static bool set_versions(SSL_CTX *ctx, const opf_tls_options *options, problem *why)
{
    static const int numbers[] = {0, TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    if (options->max_version && options->max_version < options->min_version)
        return fails(why, "the highest TLS version is below the lowest");
    /* 0 would undo what the system's configuration says */
    if (options->min_version &&
        SSL_CTX_set_min_proto_version(ctx, numbers[options->min_version]) != 1)
        return fails(why, "the lowest TLS version can't be used: %s", reason("unknown"));
    if (options->max_version &&
        SSL_CTX_set_max_proto_version(ctx, numbers[options->max_version]) != 1)
        return fails(why, "the highest TLS version can't be used: %s", reason("unknown"));
    return true;
}

static bool set_ciphers(SSL_CTX *ctx, const opf_tls_options *options, problem *why)
{
    if (options->ciphers && SSL_CTX_set_cipher_list(ctx, options->ciphers) != 1)
        return fails(why, "TLS cipher list %s can't be used: %s", options->ciphers,
                     reason("unknown"));
    if (options->ciphersuites && SSL_CTX_set_ciphersuites(ctx, options->ciphersuites) != 1)
        return fails(why, "TLS 1.3 cipher suites %s can't be used: %s", options->ciphersuites,
                     reason("unknown"));
    return true;
}

static bool set_up(SSL_CTX *ctx, const opf_tls_options *options, problem *why)
{
    SSL_CTX_set_verify(ctx, options->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    /* sessions that are wanted again are kept by the streams' owners */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return set_versions(ctx, options, why) && set_ciphers(ctx, options, why) &&
           load_certificate(ctx, options, why) && load_trust(ctx, options, why);
}

/* Contexts */

/* Whether the options say anything that may be wrong. */
static bool may_fail(const opf_tls_options *options)
{
    for (size_t i = 0; i < N_STRINGS; i++)
        if (string_of(options, i))
            return true;
    return options->min_version || options->max_version;
}

static int make(opf_tls_context *context, problem *why)
{
    int ret = OPF_ENOMEM;
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx && !set_up(ctx, &context->options, why)) {
        ret = OPF_EINVAL;
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    ERR_clear_error();
    context->ctx = ctx;
    return ctx ? 0 : ret;
}

/* Takes copies of the options' strings into the place of those of others. */
static int copy_strings(opf_tls_context *context, const opf_tls_options *options)
{
    opf_tls_options *own = &context->options;
    *own = *options;
    for (size_t i = 0; i < N_STRINGS; i++)
        set_string(own, i, NULL);
    for (size_t i = 0; i < N_STRINGS; i++) {
        const char *s = string_of(options, i);
        char *copy = s ? opf_mem_strdup(s) : NULL;
        if (s && !copy)
            return OPF_ENOMEM;
        set_string(own, i, copy);
    }
    return 0;
}

opf_tls_context *opf_tls_context_new(const opf_tls_options *options, int *error, char *text,
                                     size_t size)
{
    problem why = {text, size};
    *error = OPF_ENOMEM;
    opf_tls_context *context = opf_mem_zalloc(sizeof(*context));
    if (!context)
        return NULL;
    context->holds = 1;
    if (options->ssl_ctx) { /* which has the word on all the rest */
        if (SSL_CTX_up_ref(options->ssl_ctx) == 1)
            context->ctx = options->ssl_ctx;
        context->options.ssl_ctx = context->ctx;
        context->options.check_name = options->check_name;
        *error = context->ctx ? 0 : OPF_ENOMEM;
    } else {
        *error = copy_strings(context, options);
        if (!*error && may_fail(options))
            *error = make(context, &why);
    }
    if (!*error)
        return context;
    opf_tls_context_release(context);
    return NULL;
}

int opf_tls_context_ready(opf_tls_context *context)
{
    char text[64];
    problem why = {text, sizeof(text)};
    return context->ctx ? 0 : make(context, &why);
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool opf_tls_context_is(const opf_tls_context *context, const opf_tls_options *options)
{
    const opf_tls_options *own = &context->options;
    if (own->ssl_ctx || options->ssl_ctx)
        return own->ssl_ctx == options->ssl_ctx && own->check_name == options->check_name;
    for (size_t i = 0; i < N_STRINGS; i++)
        if (!same(string_of(own, i), string_of(options, i)))
            return false;
    return own->verify == options->verify && own->min_version == options->min_version &&
           own->max_version == options->max_version;
}

void opf_tls_context_hold(opf_tls_context *context)
{
    context->holds++;
}

void opf_tls_context_release(opf_tls_context *context)
{
    if (!context || --context->holds)
        return;
    char *secret = (char *)(uintptr_t)context->options.key_password;
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    SSL_CTX_free(context->ctx);
    BIO_meth_free(context->bio);
    for (size_t i = 0; i < N_STRINGS; i++)
        opf_mem_free((char *)(uintptr_t)string_of(&context->options, i));
    opf_mem_free(context);
}
