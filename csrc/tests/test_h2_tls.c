/* The tests of test_h2.c by TLS, where HTTP/2 is what the server chooses. */
#define BY_TLS 1
#include "test_h2.c"
