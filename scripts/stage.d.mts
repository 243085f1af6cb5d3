export const installedParts: readonly string[];
export function stageInstallation(target: string): string[];
export const externalPackages: string[];
