// What `scripts/test-kube` puts the dashboard behind, for the compiler to judge by Grafana's own types: unknown keys, missing
// ones and wrong kinds are errors.
import type { Dashboard } from "@grafana/schema";

// Enumerations as the strings that JSON has.
type Plain<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

export const dashboard: Plain<Dashboard> =
