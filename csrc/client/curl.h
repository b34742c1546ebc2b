/* The libcurl path: requests that the fast path declines (proxies, authentication schemes), in the
 * same reactor and with the same result.
 *
 * A pool has a CURLM of its own, made when it is first needed; its sockets and its timer are
 * watches and timers of the engine's loop. Connections are made by wire/dial and handed to libcurl
 * as they stand: so names are resolved as ever, there are no threads, and nothing blocks. The head
 * that libcurl sends is made of the lines that the fast path would send, the head that it receives
 * is parsed by http/h1. Only the files curl*.c know libcurl. One thread, as opf.h says.
 *
 * After a fork the child closes its copies of the sockets before it frees anything: what libcurl
 * would still say to a peer finds no descriptor.
 */
#ifndef OPF_CLIENT_CURL_H
#define OPF_CLIENT_CURL_H

#include "client/exchange.h"
#include "client/pool.h"
#include "opf.h"

/* One exchange on its way through libcurl. */
typedef struct opf_transfer opf_transfer;

/* Sends the exchange, whose request is written, by request->curl, now or when the pool's
 * concurrency allows. Returns 0, OPF_ENOMEM, or OPF_EINVAL with *error filled in. */
int opf_curl_submit(opf_pool *pool, opf_exchange *exchange, const opf_request *request,
                    opf_request_error *error);

/* Tells that somebody has taken from what the stream holds. May finish the exchange. */
void opf_curl_read_on(opf_transfer *transfer);

/* Goes on sending, as there is another piece of the body. May finish the exchange. */
void opf_curl_send_on(opf_transfer *transfer);

/* Ends a transfer in whose exchange somebody lost interest; the exchange is not finished. */
void opf_curl_abandon(opf_transfer *transfer);

/* Closes the idle connections; those in use go on, and are closed behind the last of them. */
void opf_curl_close_idle(opf_pool *pool);

/* Closes all connections and lets go of the exchanges under way. */
void opf_curl_free(opf_pool *pool);

#endif
