/** Counts what was masked, by name and form, so that "the key was printed in base64" can be said without showing it. */

export type SecretReport = { secret: string; count: number; forms: Record<string, number> };

export class MaskCounter {
  readonly #byName = new Map<string, Map<string, number>>();

  count(name: string, form: string): void {
    const forms = this.#byName.get(name) ?? new Map<string, number>();
    this.#byName.set(name, forms);
    forms.set(form, (forms.get(form) ?? 0) + 1);
  }

  report(): SecretReport[] {
    return [...this.#byName].map(([secret, forms]) => ({
      secret,
      count: [...forms.values()].reduce((sum, count) => sum + count, 0),
      forms: Object.fromEntries(forms),
    }));
  }
}
