package compat;

/** One checklist line against the running servers; returns if everything holds. */
interface Scenario {
    void run(Context context) throws Exception;
}
