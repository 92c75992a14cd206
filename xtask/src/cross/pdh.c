/* Stands in for Windows' performance counters, which Wine lacks: every counter is always at 25. */
#include <windows.h>
#include <pdh.h>

#define COUNTER 25.0
#define EXPORT __declspec(dllexport)

EXPORT PDH_STATUS WINAPI PdhEnumObjectsW(LPCWSTR source, LPCWSTR machine, LPWSTR objects, LPDWORD size,
                                         DWORD detail, WINBOOL refresh) {
    return ERROR_SUCCESS;
}

EXPORT PDH_STATUS WINAPI PdhOpenQueryW(LPCWSTR source, DWORD_PTR data, PDH_HQUERY *query) {
    *query = (PDH_HQUERY)1;
    return ERROR_SUCCESS;
}

EXPORT PDH_STATUS WINAPI PdhAddEnglishCounterW(PDH_HQUERY query, LPCWSTR path, DWORD_PTR data,
                                               PDH_HCOUNTER *counter) {
    *counter = (PDH_HCOUNTER)1;
    return ERROR_SUCCESS;
}

EXPORT PDH_STATUS WINAPI PdhCollectQueryData(PDH_HQUERY query) {
    return ERROR_SUCCESS;
}

EXPORT PDH_STATUS WINAPI PdhGetFormattedCounterValue(PDH_HCOUNTER counter, DWORD format, LPDWORD type,
                                                     PPDH_FMT_COUNTERVALUE value) {
    value->CStatus = ERROR_SUCCESS;
    value->doubleValue = COUNTER;
    return ERROR_SUCCESS;
}

EXPORT PDH_STATUS WINAPI PdhRemoveCounter(PDH_HCOUNTER counter) {
    return ERROR_SUCCESS;
}

EXPORT PDH_STATUS WINAPI PdhCloseQuery(PDH_HQUERY query) {
    return ERROR_SUCCESS;
}
