/* URLs: splitting, which opf.h declares (opf_url_parse), and quoting. Threads: any. */
#ifndef OPF_HTTP_URL_H
#define OPF_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "opf.h"

/* What opf_url_parse makes of doubtful URLs: it refuses control characters, spaces and bytes
 * outside ASCII anywhere (opf_url_quote encodes them), a backslash before the path,
 * percent-encoding in the host and port 0. The userinfo ends at the last '@' before the path. Other
 * characters of the target stand as they are, allowed by RFC 3986 or not. */

/* True if a percent sign and two hexadecimal digits stand at p. */
bool opf_url_is_escape(const char *p, const char *end);

/* Writes a byte percent-encoded: three characters, in capitals. Returns what is behind them. */
uint8_t *opf_url_put_encoded(uint8_t *to, char c);

/* True if opf_url_quote would change nothing. */
bool opf_url_is_quoted(const char *url, size_t len);

/* Appends the URL (UTF-8) as requests.utils.requote_uri would give it: bytes that no URL may have
 * are percent-encoded, encoded letters, digits and -._~ are decoded, everything else stands. If a
 * '%' is followed by two letters or digits that are no hexadecimal number, every '%' becomes "%25"
 * and nothing is decoded. (Of characters outside ASCII all count as letters here, where requests
 * asks Unicode.) Returns 0, or OPF_ENOMEM with out unchanged. */
int opf_url_quote(const char *url, size_t len, opf_buf *out);

#endif
