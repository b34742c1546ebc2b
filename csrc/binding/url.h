/* The URL of a request, on its way to the engine. */
#ifndef OPF_BINDING_URL_H
#define OPF_BINDING_URL_H

#include "binding/call.h"

typedef struct Url {
    opf_url parsed;
    char *quoted;   /* to be freed, or NULL */
    PyObject *text; /* str, or bytes of the base, that parsed points into: owned, or NULL */
} Url;

/* Lets go of what the URL owns. */
void Url_fini(Url *url);

/* Puts a path behind the base URL if nothing in it has to be changed. Returns whether it has done
 * so.
 */
bool Url_join(Session *self, PyObject *path, Url *url);

/* True for a whole http or https URL. */
bool Url_is_absolute(const char *path);

/* Finds the URL of the call. Returns 0, or -1 with an exception. */
int Url_make(Session *self, const Call *call, Url *url);

/* Takes a whole URL apart, having percent-encoded what needs it; takes over the reference to text.
 * Returns as above. */
int Url_parse(Session *self, PyObject *text, Url *url);

#endif
