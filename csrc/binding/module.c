/* The module opscore_fast._core: its state, and the types put together. */
#include "binding/binding.h"

#define AS_STRING(name) #name,
static const char *const name_texts[N_NAMES] = {NAMES(AS_STRING) METHODS(AS_STRING)};
#undef AS_STRING

static const struct {
    const char *module;
    const char *attribute;
} helper_places[N_HELPERS] = {
#define AS_PLACE(name, module, attribute) {module, attribute},
    HELPERS(AS_PLACE)
#undef AS_PLACE
};

State *state_of(PyTypeObject *type)
{
    return PyModule_GetState(PyType_GetModuleByDef(type, &opf_module));
}

PyObject *state_helper(State *state, int helper)
{
    if (!state->helpers[helper]) {
        PyObject *module = PyImport_ImportModule(helper_places[helper].module);
        if (!module)
            return NULL;
        state->helpers[helper] = PyObject_GetAttrString(module, helper_places[helper].attribute);
        Py_DECREF(module);
    }
    return state->helpers[helper];
}

PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, PyObject *bases)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, bases);
    if (type && PyModule_AddType(module, (PyTypeObject *)type) != 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

static int module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    for (int i = 0; i < N_NAMES; i++) {
        state->names[i] = PyUnicode_InternFromString(name_texts[i]);
        if (!state->names[i])
            return -1;
    }
    if (Engine_add(module, state) != 0 || Pool_add(module, state) != 0 ||
        Response_add(module, state) != 0 || Session_add(module, state) != 0 ||
        FastSession_add(module, state) != 0 || HttpSession_add(module, state) != 0 ||
        Collector_add(module, state) != 0 || Route_add(module, state) != 0 ||
        Plan_add(module, state) != 0 || Fleet_add(module, state) != 0)
        return -1;
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    for (int i = 0; i < N_HELPERS; i++)
        Py_VISIT(state->helpers[i]);
    Py_VISIT(state->engine_type);
    Py_VISIT(state->pool_type);
    Py_VISIT(state->session_type);
    Py_VISIT(state->response_type);
    Py_VISIT(state->catching_type);
    Py_VISIT(state->http_response_type);
    Py_VISIT(state->collector_type);
    Py_VISIT(state->proxy_type);
    Py_VISIT(state->scheme_auth_type);
    Py_VISIT(state->plan_type);
    Py_VISIT(state->fleet_type);
    Py_VISIT(state->fast_request);
    Py_VISIT(state->http_request);
    return 0;
}

static int module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    for (int i = 0; i < N_NAMES; i++)
        Py_CLEAR(state->names[i]);
    for (int i = 0; i < N_HELPERS; i++)
        Py_CLEAR(state->helpers[i]);
    Py_CLEAR(state->engine_type);
    Py_CLEAR(state->pool_type);
    Py_CLEAR(state->session_type);
    Py_CLEAR(state->response_type);
    Py_CLEAR(state->catching_type);
    Py_CLEAR(state->http_response_type);
    Py_CLEAR(state->collector_type);
    Py_CLEAR(state->proxy_type);
    Py_CLEAR(state->scheme_auth_type);
    Py_CLEAR(state->plan_type);
    Py_CLEAR(state->fleet_type);
    Py_CLEAR(state->fast_request);
    Py_CLEAR(state->http_request);
    return 0;
}

static void module_free(void *module)
{
    State *state = PyModule_GetState(module);
    module_clear(module);
    PyMem_Free(state->scratch);
    state->scratch = NULL;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

struct PyModuleDef opf_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "opscore_fast._core",
    .m_doc = "The C engine of opscore_fast, as Python sees it.",
    .m_size = sizeof(State),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&opf_module);
}
