#include "wire/tls_lend.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "wire/tls_context.h"

/* Names of the context's ciphers, for one of the two lists that OpenSSL has. */
static int cipher_names(SSL_CTX *ctx, bool tls13, opf_buf *names)
{
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        if ((SSL_CIPHER_get_protocol_id(cipher) >> 8 == 0x13) != tls13)
            continue;
        if ((names->len && opf_buf_append_str(names, ":") != 0) ||
            opf_buf_append_str(names, SSL_CIPHER_get_name(cipher)) != 0)
            return OPF_ENOMEM;
    }
    return opf_buf_append(names, "", 1);
}

static int lend_ciphers(SSL_CTX *from, SSL_CTX *to)
{
    for (int tls13 = 0; tls13 < 2; tls13++) {
        opf_buf names;
        opf_buf_init(&names);
        int ret = cipher_names(from, tls13, &names);
        const char *list = (const char *)names.data;
        if (ret == 0 && *list &&
            (tls13 ? SSL_CTX_set_ciphersuites(to, list) : SSL_CTX_set_cipher_list(to, list)) != 1)
            ret = OPF_ENOMEM;
        opf_buf_fini(&names);
        if (ret != 0)
            return ret;
    }
    return 0;
}

static int lend_certificate(SSL_CTX *from, SSL_CTX *to)
{
    X509 *certificate = SSL_CTX_get0_certificate(from);
    EVP_PKEY *key = SSL_CTX_get0_privatekey(from);
    STACK_OF(X509) *chain = NULL;
    if (!certificate || !key)
        return 0;
    return SSL_CTX_use_certificate(to, certificate) == 1 && SSL_CTX_use_PrivateKey(to, key) == 1 &&
                   SSL_CTX_get0_chain_certs(from, &chain) == 1 &&
                   (!chain || SSL_CTX_set1_chain(to, chain) == 1)
               ? 0
               : OPF_ENOMEM;
}

int opf_tls_context_lend(opf_tls_context *context, void *ssl_ctx, const char **why)
{
    *why = "the SSL context logs its keys, which can't be done here";
    if (context->options.ssl_ctx && SSL_CTX_get_keylog_callback(context->ctx))
        return OPF_EINVAL;
    SSL_CTX *from = context->ctx, *to = ssl_ctx;
    SSL_CTX_set_options(to,
                        SSL_CTX_get_options(from)); /* among them versions that are not wanted */
    SSL_CTX_set1_cert_store(to, SSL_CTX_get_cert_store(from));
    SSL_CTX_set_verify(to, SSL_CTX_get_verify_mode(from), NULL);
    SSL_CTX_set_security_level(to, SSL_CTX_get_security_level(from));
    SSL_CTX_set_min_proto_version(to, (int)SSL_CTX_get_min_proto_version(from));
    SSL_CTX_set_max_proto_version(to, (int)SSL_CTX_get_max_proto_version(from));
    int ret = lend_ciphers(from, to);
    if (ret == 0)
        ret = lend_certificate(from, to);
    ERR_clear_error();
    return ret;
}

bool opf_tls_context_verifies(const opf_tls_context *context, bool *name)
{
    bool verifies = (SSL_CTX_get_verify_mode(context->ctx) & SSL_VERIFY_PEER) != 0;
    *name = verifies && (!context->options.ssl_ctx || context->options.check_name);
    return verifies;
}

const char *opf_tls_error_text(unsigned long code)
{
    return ERR_reason_error_string(code);
}

const char *opf_tls_verdict_text(long verdict)
{
    return verdict == X509_V_OK ? NULL : X509_verify_cert_error_string(verdict);
}

bool opf_tls_resumed(const void *ssl)
{
    return SSL_session_reused(ssl) == 1;
}

bool opf_tls_error_is_eof(unsigned long code)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    return ERR_GET_LIB(code) == ERR_LIB_SSL &&
           ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
#else
    (void)code;
    return false;
#endif
}
